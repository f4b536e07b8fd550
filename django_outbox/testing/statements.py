"""``assert_outbox_statements()``: hold what the outbox costs the database to a number that does not depend on time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections
from django.test.utils import CaptureQueriesContext

from django_outbox import inbox, metrics
from django_outbox.outbox import published_model

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def assert_outbox_statements(
    *, max_per_batch: int | None = None, at_most: int | None = None, using: str = DEFAULT_DB_ALIAS
) -> Iterator[None]:
    """Assert how many SQL statements on the tables of outbox and inbox the block runs on the database ``using``.

    ``at_most`` is for the whole block; ``max_per_batch`` for each batch that the relay claimed in it, one at least.
    Statements that open, close or save transactions name no table and do not count. Raises ``AssertionError``, which
    shows the statements.
    """
    if (max_per_batch is None) == (at_most is None):
        raise TypeError("Give either max_per_batch or at_most.")
    batches_before = _batches()
    with CaptureQueriesContext(connections[using]) as captured:
        yield
    statements = [query["sql"] for query in captured.captured_queries if _is_ours(query["sql"])]
    batches = max(1, _batches() - batches_before)
    limit = at_most if at_most is not None else (max_per_batch or 0) * batches
    if len(statements) > limit:
        allowed = f"{limit}" if at_most is not None else f"{limit} ({max_per_batch} for each of {batches} batches)"
        listed = "\n".join(f"  {position}. {sql}" for position, sql in enumerate(statements, start=1))
        raise AssertionError(
            f"{len(statements)} statements on the tables of the outbox; at most {allowed} are allowed:\n{listed}"
        )


def _is_ours(sql: str) -> bool:
    tables = (published_model()._meta.db_table, inbox.received_class()._meta.db_table)
    return any(f"{quote}{table}{quote}" in sql for table in tables for quote in ('"', "`"))


def _batches() -> int:
    """Return how many batches any relay of this process has claimed."""
    samples = [sample for metric in metrics.PUBLISH_BATCH.collect() for sample in metric.samples]
    return int(sum(sample.value for sample in samples if sample.name.endswith("_count")))
