"""What writing an event asks of the database, in statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_outbox import enqueue
from django_outbox.models import Published
from tests.django_project.events.models import Plain

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def _statements(work: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        work()
    return [query["sql"].split()[0] for query in queries]


def test_creating_a_message_is_one_insert() -> None:
    assert _statements(lambda: Published.objects.create(destination="/topic/a", body={})) == ["INSERT"]
    assert _statements(lambda: Published(destination="/topic/a", body={}, version="v1").save()) == ["INSERT"]


def test_enqueueing_is_one_insert() -> None:
    assert _statements(lambda: enqueue("/topic/a", {"n": 1}, headers={"x": "y"})) == ["INSERT"]


def test_bulk_create_is_one_insert_a_batch_with_headers_made() -> None:
    rows = [Published(destination="/topic/a", body={"n": n}) for n in range(60)]
    assert _statements(lambda: Published.objects.bulk_create(rows)) == ["BEGIN", "INSERT", "COMMIT"]
    written = list(Published.objects.values_list("id", "headers"))
    assert len(written) == 60
    assert all(headers["dop-msg-id"] == str(key) for key, headers in written)
    rows = [Published(destination="/topic/a", body={"n": n}) for n in range(60)]
    assert _statements(lambda: Published.objects.bulk_create(rows, batch_size=20)).count("INSERT") == 3


def test_a_published_model_costs_one_insert_more_in_its_own_transaction() -> None:
    assert _statements(lambda: Plain.objects.create(field_one="a")) == ["BEGIN", "INSERT", "INSERT", "COMMIT"]


def test_within_a_transaction_of_the_caller_there_is_no_further_round_trip_but_the_savepoint() -> None:
    def work() -> None:
        with transaction.atomic():
            Plain.objects.create(field_one="a")

    found = _statements(work)
    assert found.count("INSERT") == 2
    assert len(found) <= 6
