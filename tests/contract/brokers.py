"""A broker that a test can put faults into: the pretended one and those of the matrix, behind one interface."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.test import override_settings

from django_outbox.testing import MemoryStompServer
from django_outbox.transport.base import Outgoing
from django_outbox.transport.memory import MemoryBroker, MemoryTransport
from django_outbox.transport.publishing import StompTransport
from tests.faults import frozen
from tests.rig.hostservices.activemq import FORBIDDEN
from tests.stomp_queue import StompQueue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from django_outbox.transport.base import Transport
    from tests.rig.hostservices import ActiveMQ, RabbitMQ
    from tests.rig.hostservices import Artemis as ArtemisServer

WRONG = "not-the-password"


def message(destination: str, body: str = "{}", **headers: str) -> Outgoing:
    """Return a message as the relay sends it."""
    return Outgoing(uuid.uuid4(), destination, body, {"persistent": "true", **headers})


class BrokerUnderTest(ABC):
    """What the contract suite needs of a broker."""

    sends_with: Mapping[str, str] = {}
    """The headers that a message to `good` needs."""
    goes_on = True
    """Whether the connection outlives a refusal."""
    login_attempts = 1
    """How often to try before the broker says why it lets nobody in."""

    @abstractmethod
    def transport(self, passcode: str | None = None) -> Transport:
        """Return a new transport to it, not connected."""

    @abstractmethod
    def good(self) -> str:
        """Return a destination that takes messages."""

    @abstractmethod
    def refused(self) -> Outgoing:
        """Return a message that the broker says no to."""

    @abstractmethod
    def deadly(self) -> Outgoing:
        """Return a message that costs the connection."""

    @abstractmethod
    def silent(self) -> AbstractContextManager[None]:
        """Let the broker stay connected and answer nothing within the block."""

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


class BlockableBroker(BrokerUnderTest):
    """A broker that a test can bring to stop reading from those who publish."""

    @abstractmethod
    def blocked(self) -> AbstractContextManager[None]:
        """Let the broker stop reading from those who publish within the block, as it does without memory."""


class InMemory(BlockableBroker):
    """The broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(refuses={"refused"}, dies_of={"deadly"})

    def transport(self, passcode: str | None = None) -> Transport:
        self.broker.refuses_login = passcode == WRONG
        return MemoryTransport(self.broker)

    def good(self) -> str:
        return "good"

    def refused(self) -> Outgoing:
        return message("refused")

    def deadly(self) -> Outgoing:
        return message("deadly")

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


class Real(BrokerUnderTest):
    """A broker that is a process of this machine."""

    def __init__(self, server: RabbitMQ | ActiveMQ | ArtemisServer) -> None:
        self.server = server
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
        return f"/queue/contract-{uuid.uuid4().hex[:12]}"

    def silent(self) -> AbstractContextManager[None]:
        return frozen(self.server)

    def bodies(self, destination: str) -> list[str]:
        return [taken.body for taken in StompQueue(self.server, destination, self.sends_with).take()]

    def go_down(self) -> None:
        self.server.stop()

    def come_back(self) -> None:
        self.server.start()

    def close(self) -> None:
        for override in reversed(self._override):
            override.disable()


class Rabbit(Real, BlockableBroker):
    """RabbitMQ with queues of one type."""

    server: RabbitMQ

    def __init__(self, server: RabbitMQ, kind: str) -> None:
        super().__init__(server)
        self._kind = kind
        self._queues: list[str] = []

    def good(self) -> str:
        name = super().good().removeprefix("/queue/")
        self.server.declare_queue(name, arguments={"x-queue-type": self._kind})
        self._queues.append(name)
        return f"/amq/queue/{name}"

    def refused(self) -> Outgoing:
        return message("/nowhere/at-all")

    def deadly(self) -> Outgoing:
        return message("/exchange/nobody-declared-this/key")

    def blocked(self) -> AbstractContextManager[None]:
        return self.server.out_of_memory()

    def close(self) -> None:
        super().close()
        for name in self._queues:
            self.server.delete_queue(name)


class Active(Real):
    """ActiveMQ Classic, which now and then hangs up before its refusal of a login is out."""

    login_attempts = 10

    def refused(self) -> Outgoing:
        return message(f"/queue/{FORBIDDEN}")

    def deadly(self) -> Outgoing:
        return message(self.good(), expires="a date that is no number")


class Artemis(Real):
    """ActiveMQ Artemis, which closes the connection over each refusal, and tells which message it was."""

    goes_on = False
    sends_with: Mapping[str, str] = {"destination-type": "ANYCAST"}

    def refused(self) -> Outgoing:
        return message(self.good(), **self.sends_with, AMQ_SCHEDULED_DELAY="a delay that is no number")

    def deadly(self) -> Outgoing:
        return message(self.good(), **{"destination-type": "NEITHER"})
