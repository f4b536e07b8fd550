"""A claim in one statement, for PostgreSQL: rows are chosen, locked, marked and returned in one round trip.

The statement is Django's own for the choice, wrapped; what comes back is read here, without the layers of a query set.
"""

from __future__ import annotations

import json
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from django.db import connections
from django.db.models import Field, JSONField

from django_outbox import settings
from django_outbox.jsontext import Written
from django_outbox.outbox import published_model
from django_outbox.store.rows import COLUMNS, DOCUMENTS, ClaimedRow, unreadable
from django_outbox.wellformed import MAX_DEPTH

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from django.db.models import QuerySet

    from django_outbox.models import Published

# The choice is an array, worked out once: a join might choose again for each row that it looks at.
_STATEMENT = """
UPDATE {table} SET claim_token = %s, claimed_until = STATEMENT_TIMESTAMP() + %s * interval '1 second'
WHERE {key} = ANY(ARRAY({chosen})) RETURNING {columns}
"""
# The longest number that Python reads; what is shorter than that holds none that it does not.
_SURELY_READ = 4300
# A number is read faster than a time, whatever the driver.
_EXPRESSIONS = {"added": "EXTRACT(EPOCH FROM {})::double precision"}
_in_order = attrgetter("added", "id")


def can_claim_at_once(using: str) -> bool:
    """Tell whether the database can, and the documents are plain JSON: a field of the project's own reads otherwise."""
    meta = published_model()._meta
    documents = [meta.get_field(name) for name in DOCUMENTS]
    return connections[using].vendor == "postgresql" and all(
        type(field) is JSONField and field.decoder is None for field in documents
    )


def claimed_at_once(
    due_of: Callable[[str], QuerySet[Published]], using: str, token: uuid.UUID, limit: int, lease_seconds: float
) -> tuple[ClaimedRow, ...]:
    """Mark up to ``limit`` of the rows that ``due_of`` finds with a token and a time limit; return them in order."""
    statement, values = _statement(published_model(), due_of, using, limit, settings.ORDER_ON_FAILURE)
    with connections[using].cursor() as cursor:
        cursor.execute(statement, [token, lease_seconds, *values])
        rows = [_row(*found) for found in cursor.fetchall()]
    rows.sort(key=_in_order)
    return tuple(rows)


@lru_cache(maxsize=256)
def _statement(
    model: type[Published],
    due_of: Callable[[str], QuerySet[Published]],
    using: str,
    limit: int,
    on_failure: str,  # noqa: ARG001 - which rows are due depends on it
) -> tuple[str, tuple[Any, ...]]:
    """Return the statement and the values of its choice, kept: to write it takes Django longer than to run it."""
    quote = connections[using].ops.quote_name
    columns = {name: quote(_column(model, name)) for name in COLUMNS}
    query = due_of(using).order_by("added", "id").values_list("pk")[:limit].query
    sql, values = query.get_compiler(using).as_sql()
    statement = _STATEMENT.format(
        table=quote(model._meta.db_table),
        key=columns["id"],
        # Django would have a transaction around it, which the one statement is.
        chosen=f"{sql} FOR UPDATE SKIP LOCKED",
        columns=", ".join(_EXPRESSIONS.get(name, "{}").format(column) for name, column in columns.items()),
    )
    return statement, tuple(values)


def _column(model: type[Published], name: str) -> str:
    return str(cast("Field[Any, Any]", model._meta.get_field(name)).column)


def _row(row_id: uuid.UUID, destination: str, body: Any, headers: Any, *rest: Any) -> ClaimedRow:
    return ClaimedRow(row_id, destination, _body(body), _document(headers, "headers"), *rest)


def _body(text: Any) -> Any:
    """Return a body as the database has written it, where nobody could tell that from what Python would write."""
    is_plain = isinstance(text, str) and len(text) <= _SURELY_READ and text.isascii()
    if is_plain and text.count("[") + text.count("{") <= MAX_DEPTH:
        return Written(text)
    return _document(text, "body")


def _document(text: Any, column: str) -> Any:
    """Return what a document says: Django keeps drivers from reading it."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # One such row must not hide the others.
        return unreadable(column, error)
