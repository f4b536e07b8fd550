"""Each contract test runs on the pretended broker and on the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.brokers import Active, Artemis, BlockableBroker, BrokerUnderTest, InMemory, InMemoryServed, Rabbit

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKABLE = ("memory", "memory-served", "rabbitmq-classic", "rabbitmq-quorum")


@pytest.fixture(params=[*BLOCKABLE, "activemq", "artemis"])
def broker(request: pytest.FixtureRequest) -> Iterator[BrokerUnderTest]:
    """The broker in memory, without and with a socket, then the real ones."""
    under_test = _broker(request)
    yield under_test
    under_test.close()


@pytest.fixture(params=BLOCKABLE)
def blockable(request: pytest.FixtureRequest) -> Iterator[BlockableBroker]:
    """Those brokers that stop reading from publishers when told that their memory is used up."""
    under_test = _broker(request)
    assert isinstance(under_test, BlockableBroker)
    yield under_test
    under_test.close()


def _broker(request: pytest.FixtureRequest) -> BrokerUnderTest:
    name, _, kind = request.param.partition("-")
    match name:
        case "memory":
            return InMemoryServed() if kind else InMemory()
        case "rabbitmq":
            return Rabbit(request.getfixturevalue(name), kind)
        case "activemq":
            return Active(request.getfixturevalue(name))
        case _:
            return Artemis(request.getfixturevalue(name))
