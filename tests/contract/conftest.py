"""Each contract test runs on the pretended broker and on the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.brokers import BrokerUnderTest, InMemory, InMemoryServed, Rabbit

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["memory", "memory-served", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[BrokerUnderTest]:
    """The broker in memory, without and with a socket, then RabbitMQ."""
    under_test: BrokerUnderTest
    match request.param:
        case "memory":
            under_test = InMemory()
        case "memory-served":
            under_test = InMemoryServed()
        case _:
            under_test = Rabbit(request.getfixturevalue("rabbitmq"))
    yield under_test
    under_test.close()
