"""What the publisher asks of PostgreSQL, in statements: a number that no machine changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project

MEASURE = """
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.models import Published
from django_outbox.relay import Relay, RelayOptions
from django_outbox.transport.memory import MemoryBroker, MemoryTransport
Published.objects.bulk_create(Published(destination="good", body={}) for _ in range(ROWS))
stop = StopSignal()
stop.wait = lambda seconds: True
relay = Relay(MemoryTransport(MemoryBroker()), stop, Health("publisher"), RelayOptions.from_settings())
relay.connect()
for _ in range(IDLE):
    relay._publish_or_wait()
with CaptureQueriesContext(connection) as queries:
    relay._publish_or_wait()
print(" ".join(query["sql"].split()[0] for query in queries))
"""


@pytest.mark.parametrize("rows", [500, 1500])
def test_a_full_batch_costs_one_claim_and_one_settling(project: Project, rows: int) -> None:
    printed = project.python(MEASURE.replace("ROWS", str(rows)).replace("IDLE", "0"))
    assert printed.split() == ["UPDATE", "UPDATE"]


def test_an_idle_poll_costs_one_statement(project: Project) -> None:
    printed = project.python(MEASURE.replace("ROWS", "0").replace("IDLE", "1"))
    assert printed.split() == ["SELECT"]


@pytest.mark.parametrize(("done", "due"), [(20_000, 20_000), (20_000, 10), (1_000, 20_000)])
def test_the_claim_reads_only_what_is_due(project: Project, done: int, due: int) -> None:
    database = project.database
    database.fill("/topic/done", done)
    database.rows("UPDATE published SET status = 2")
    database.fill("/topic/due", due)
    database.rows("ANALYZE published")
    plan = project.python(
        "from django.db import transaction\n"
        "from django_outbox.store.ordering import unkeyed_rows\n"
        "due = unkeyed_rows('default').order_by('added', 'id')\n"
        "with transaction.atomic():\n"
        "    print(due.select_for_update(skip_locked=True)[:500].explain())"
    )
    # For a few rows the index of states is as good; what must not happen is a walk over what is finished.
    assert "published_unkeyed_due_idx" in plan or "Index Cond: (status = 1)" in plan, plan


KEYED = """
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.models import Published
from django_outbox.relay import Relay, RelayOptions
from django_outbox.transport.memory import MemoryBroker, MemoryTransport
Published.objects.bulk_create(
    Published(destination="DESTINATION", body={}, key=f"key {n % KEYS}" if KEYS else None) for n in range(ROWS)
)
broker = MemoryBroker(refuses={"bad"})
relay = Relay(MemoryTransport(broker), StopSignal(), Health("publisher"), RelayOptions.from_settings())
relay.connect()
with CaptureQueriesContext(connection) as queries:
    relay.publish_batch(DUE)
print(" ".join(query["sql"].split()[0] for query in queries))
"""


def _statements(project: Project, rows: int, keys: int, destination: str) -> list[str]:
    due = f"__import__('django_outbox.store').store.Due({not keys}, {bool(keys)}, False)"
    code = KEYED.replace("ROWS", str(rows)).replace("KEYS", str(keys)).replace("DESTINATION", destination)
    return project.python(code.replace("DUE", due)).split()


@pytest.mark.parametrize("rows", [1, 50, 500])
def test_keyed_rows_cost_the_same_however_many(project: Project, rows: int) -> None:
    # The lock of those who claim, what is in turn, the rows, the claim; then the settling.
    expected = ["BEGIN", "SELECT", "SELECT", "SELECT", "UPDATE", "COMMIT", "UPDATE"]
    assert _statements(project, rows, rows, "good") == expected


@pytest.mark.parametrize("rows", [1, 50, 500])
def test_rows_that_all_fail_cost_the_same_however_many(project: Project, rows: int) -> None:
    assert _statements(project, rows, 0, "bad") == ["UPDATE", "UPDATE"]
