"""A broker that a test can put faults into: the pretended one and RabbitMQ, behind one interface."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.test import override_settings

from django_outbox.testing import MemoryStompServer
from django_outbox.transport.memory import MemoryBroker, MemoryTransport
from django_outbox.transport.publishing import StompTransport
from tests.faults import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from django_outbox.transport.base import Transport
    from tests.rig.hostservices import RabbitMQ

WRONG = "not-the-password"


class BrokerUnderTest(ABC):
    """What the contract suite needs of a broker."""

    @abstractmethod
    def transport(self, passcode: str | None = None) -> Transport:
        """Return a new transport to it, not connected."""

    @abstractmethod
    def good(self) -> str:
        """Return a destination that takes messages."""

    @abstractmethod
    def refused(self) -> str:
        """Return a destination that the broker says no to."""

    @abstractmethod
    def deadly(self) -> str:
        """Return a destination that costs the connection."""

    @abstractmethod
    def silent(self) -> AbstractContextManager[None]:
        """Let the broker stay connected and answer nothing within the block."""

    @abstractmethod
    def blocked(self) -> AbstractContextManager[None]:
        """Let the broker stop reading from those who publish within the block, as it does without memory."""

    @abstractmethod
    def bodies(self, destination: str) -> list[str]:
        """Return what arrived at a destination, in order."""

    @abstractmethod
    def go_down(self) -> None:
        """Stop answering anybody."""

    @abstractmethod
    def come_back(self) -> None:
        """Answer again."""

    @abstractmethod
    def close(self) -> None:
        """Remove what the test made."""


class InMemory(BrokerUnderTest):
    """The broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(refuses={"refused"}, dies_of={"deadly"})

    def transport(self, passcode: str | None = None) -> Transport:
        self.broker.refuses_login = passcode == WRONG
        return MemoryTransport(self.broker)

    def good(self) -> str:
        return "good"

    def refused(self) -> str:
        return "refused"

    def deadly(self) -> str:
        return "deadly"

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.broker.ignores.add("good")
        yield
        self.broker.ignores.clear()

    @contextmanager
    def blocked(self) -> Iterator[None]:
        self.broker.is_blocked = True
        yield
        self.broker.is_blocked = False

    def bodies(self, destination: str) -> list[str]:
        return self.broker.bodies(destination)

    def go_down(self) -> None:
        self.broker.is_down = True

    def come_back(self) -> None:
        self.broker.is_down = False

    def close(self) -> None:
        self.broker.messages.clear()


class InMemoryServed(InMemory):
    """The broker in memory behind its socket: the transport is the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.server = MemoryStompServer(self.broker)
        self.server.__enter__()
        self._override: list[override_settings] = []

    def transport(self, passcode: str | None = None) -> Transport:
        self.broker.refuses_login = passcode == WRONG
        override = override_settings(DJANGO_OUTBOX_PATTERN=self.server.settings)
        override.enable()
        self._override.append(override)
        return StompTransport()

    def go_down(self) -> None:
        self.server.go_down()

    def come_back(self) -> None:
        self.server.come_back()

    def close(self) -> None:
        self.server.__exit__(None, None, None)
        for override in reversed(self._override):
            override.disable()


class Rabbit(BrokerUnderTest):
    """A real RabbitMQ."""

    def __init__(self, server: RabbitMQ) -> None:
        self.server = server
        self._queues: list[str] = []
        self._override: list[override_settings] = []

    def transport(self, passcode: str | None = None) -> Transport:
        override = override_settings(
            DJANGO_OUTBOX_PATTERN={
                "DEFAULT_STOMP_HOST_AND_PORTS": [(self.server.host, self.server.stomp_port)],
                "DEFAULT_STOMP_USERNAME": self.server.username,
                "DEFAULT_STOMP_PASSCODE": passcode or self.server.passcode,
            }
        )
        override.enable()
        self._override.append(override)
        return StompTransport()

    def good(self) -> str:
        name = f"contract-{uuid.uuid4().hex[:12]}"
        self.server.declare_queue(name)
        self._queues.append(name)
        return f"/amq/queue/{name}"

    def refused(self) -> str:
        return "/nowhere/at-all"

    def deadly(self) -> str:
        return "/exchange/nobody-declared-this/key"

    def silent(self) -> AbstractContextManager[None]:
        return frozen(self.server)

    def blocked(self) -> AbstractContextManager[None]:
        return self.server.out_of_memory()

    def bodies(self, destination: str) -> list[str]:
        name = destination.rpartition("/")[2]
        return [message["payload"] for message in self.server.get_messages(name, 10_000)]

    def go_down(self) -> None:
        self.server.stop()

    def come_back(self) -> None:
        self.server.start()

    def close(self) -> None:
        for override in reversed(self._override):
            override.disable()
        for name in self._queues:
            self.server.delete_queue(name)
