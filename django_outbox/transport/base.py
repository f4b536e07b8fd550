"""What the relay needs of a broker, whatever speaks to it.

``relay.py`` is written against ``Transport``; ``stomp.py`` is the real thing, ``memory.py`` stands in for it in tests.
One suite (tests/contract) holds them to the same behaviour.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way; ``key`` is the caller's name for it.

    Of the messages in one ``lane``, each is sent after the one before it is confirmed; None is no lane.
    """

    key: UUID
    destination: str
    body: str | bytes
    headers: Mapping[str, str]
    lane: str | None = None


class Unsettled(StrEnum):
    """Why the rest of a batch has no answer."""

    CONNECTION_LOST = "connection_lost"
    TIMEOUT = "timeout"


@dataclass(slots=True)
class SendReport:
    """What became of a batch.

    ``confirmed`` maps a message to the seconds from its SEND to the broker's receipt, ``refused`` to the broker's
    words, ``unsent`` what never went out: behind a message of its lane that was not confirmed, or behind the end of the
    connection. Whatever is in none of them was not answered: ``unsettled`` tells why, ``detail`` in words.
    ``blocked`` says that the broker reads nothing any more, which is no message's doing.
    """

    confirmed: dict[UUID, float] = field(default_factory=dict)
    refused: dict[UUID, str] = field(default_factory=dict)
    unsent: set[UUID] = field(default_factory=set)
    unsettled: Unsettled | None = None
    detail: str = ""
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a batch's receipts: until ``deadline`` (of ``time.monotonic``), shorter when asked to hurry.

    ``tick`` is called about once a second meanwhile. ``limit`` returns a nearer deadline, None when there is none: a
    worker that is told to stop has less time than one that is not.
    """

    deadline: float
    tick: Callable[[], None] = lambda: None
    limit: Callable[[], float | None] = lambda: None

    def left(self) -> float:
        """Return the seconds that are left, 0 when there are none."""
        nearer = self.limit()
        end = self.deadline if nearer is None else min(self.deadline, nearer)
        return max(0.0, end - time.monotonic())


class Transport(Protocol):
    """A connection to a broker that confirms what it is sent. Used by one thread."""

    @property
    def host(self) -> str:
        """The broker connected to, as ``host:port``; for logs and metric labels."""

    def is_connected(self) -> bool:
        """Tell whether the connection stands, as far as is known."""

    def connect(self) -> None:
        """Open the connection. Raises ``BrokerUnavailable`` or ``BrokerRefused``."""

    def send(
        self, messages: Sequence[Outgoing], patience: Patience, meanwhile: Callable[[], None] | None = None
    ) -> SendReport:
        """Send all, wait for their receipts, and tell what became of each. Broker trouble is in the report, not raised.

        ``meanwhile`` is called once, when what can go is on its way and nothing but the receipts is to be waited for.
        After a report that is not settled the connection is closed: a late answer can then never be mistaken.
        """

    def is_answered(self, patience: Patience) -> bool:
        """Ask the broker what costs it nothing, and tell whether it answers. One that is blocked does so later."""

    def close(self) -> None:
        """Close the connection if there is one; never raises."""
