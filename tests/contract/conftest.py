"""Each contract test runs on the pretended broker and on the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.brokers import BrokerUnderTest, InMemory, Rabbit

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["memory", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[BrokerUnderTest]:
    """The broker in memory, then RabbitMQ."""
    under_test = InMemory() if request.param == "memory" else Rabbit(request.getfixturevalue("rabbitmq"))
    yield under_test
    under_test.close()
