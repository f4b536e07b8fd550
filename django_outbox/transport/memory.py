"""A broker within the process, for tests: what it confirms is in ``messages``, and it fails in the ways real ones do.

Held to the same suite as the STOMP transport (tests/contract). Faults are set on the broker, not on the connection, so
they meet whoever connects next, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django_outbox.exceptions import BrokerRefused, BrokerUnavailable
from django_outbox.transport.base import SendReport, Unsettled
from django_outbox.transport.publishing import unsendable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_outbox.transport.base import Outgoing, Patience

HOST = "memory:0"


@dataclass
class MemoryBroker:
    """What has arrived, and how the broker behaves.

    ``refuses``: destinations it says no to, message by message. ``dies_of``: destinations that cost the connection,
    without a word about which message it was. ``ignores``: destinations it never answers about. ``lose_after``: how
    many more messages it takes before the connection breaks once.
    """

    messages: list[Outgoing] = field(default_factory=list)
    is_down: bool = False
    refuses_login: bool = False
    refuses: set[str] = field(default_factory=set)
    dies_of: set[str] = field(default_factory=set)
    ignores: set[str] = field(default_factory=set)
    lose_after: int | None = None
    connects: int = 0

    def bodies(self, destination: str) -> list[str]:
        """Return what arrived at a destination, in order."""
        return [message.body for message in self.messages if message.destination == destination]


class MemoryTransport:
    """A connection to a ``MemoryBroker``."""

    host = HOST

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self._connected = False

    def is_connected(self) -> bool:
        """Tell whether the connection stands."""
        return self._connected and not self.broker.is_down

    def connect(self) -> None:
        """Connect, unless the broker is down or refuses the login."""
        if self.broker.is_down:
            raise BrokerUnavailable("The broker in memory is down.")
        if self.broker.refuses_login:
            raise BrokerRefused("The broker in memory refuses the login.")
        self.broker.connects += 1
        self._connected = True

    def send(self, messages: Sequence[Outgoing], patience: Patience) -> SendReport:
        """Take the messages one after the other, as far as the broker's faults let them."""
        report = SendReport()
        for message in messages:
            self._take(message, report)
            if report.unsettled is Unsettled.CONNECTION_LOST:
                break
        patience.tick()
        if report.unsettled is not None:
            self._connected = False
        return report

    def close(self) -> None:
        """Close the connection."""
        self._connected = False

    def _take(self, message: Outgoing, report: SendReport) -> None:
        broker = self.broker
        problem = unsendable(message.headers)
        if problem is not None:
            report.refused[message.key] = problem
        elif not self.is_connected() or broker.lose_after == 0 or message.destination in broker.dies_of:
            broker.lose_after = None
            _conclude(report, Unsettled.CONNECTION_LOST, "the connection to the broker was lost")
        elif message.destination in broker.refuses:
            report.refused[message.key] = "refused by the broker in memory"
        elif message.destination in broker.ignores:
            _conclude(report, Unsettled.TIMEOUT, "the broker did not confirm in time")
        else:
            broker.messages.append(message)
            report.confirmed[message.key] = 0.0
            broker.lose_after = broker.lose_after if broker.lose_after is None else broker.lose_after - 1


def _conclude(report: SendReport, why: Unsettled, detail: str) -> None:
    report.unsettled, report.detail = why, detail
