"""The pytest plugin: two fixtures, and nothing at all for tests that do not ask for them.

Loaded by the entry point ``pytest11``, before Django is set up, so everything of Django's is imported on use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_outbox.testing import CapturedOutbox, MemoryBroker


@pytest.fixture
def outbox() -> Iterator[CapturedOutbox]:
    """The messages that the test has written so far; the test itself asks for the database."""
    from django_outbox.testing.capture import watch_outbox  # noqa: PLC0415 - see above

    with watch_outbox() as captured:
        yield captured


@pytest.fixture
def outbox_broker() -> MemoryBroker:
    """A broker in memory; queues that are bound late get what was published before."""
    from django_outbox.testing import MemoryBroker  # noqa: PLC0415

    return MemoryBroker(remembers=True)
