"""Statements as Django writes them, kept: to compile one costs a worker more than to run it, and they never change.

Only plain models come this way. One with a ``save``, a manager or signals of its own, or with values that the database
makes, has to go Django's whole way; then nothing is done here and the caller is told so. ``inbox.py`` and ``models.py``
use this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Manager, Model, QuerySet, sql
from django.db.models.signals import post_save, pre_save
from django.utils import timezone

from django_outbox.columns import Column, column_of, is_stamped, is_stored_as_it_is

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import Field


def has_plain_queries(model: type[Model]) -> bool:
    """Tell whether the model is asked for as Django would: a manager of the project's own may see other rows."""
    manager = model._default_manager
    return type(manager) is Manager and manager._queryset_class is QuerySet  # type: ignore[attr-defined]


def saves_plainly(model: type[Model]) -> bool:
    """Tell whether ``save()`` of a new row is one INSERT and nothing else that anybody could notice."""
    return model.save is Model.save and is_unheard(model)


def is_unheard(model: type[Model]) -> bool:
    """Tell whether nobody but ``Model.save`` itself would notice that a row is saved."""
    is_heard = any(signal.receivers and signal.has_listeners(model) for signal in (pre_save, post_save))
    return model.save_base is Model.save_base and not is_heard


def insert(rows: Sequence[Model], using: str) -> bool:
    """Insert new rows of one model in one statement, without ``save()`` and its signals.

    Returns False when the model's rows cannot be written so, and nothing was done. Raises what the database raises; a
    transaction that is open can then only be rolled back.
    """
    connection = connections[using]
    plan = insertion(type(rows[0]), using, connection.vendor)
    if plan is None or have_expression(rows):
        return False
    most = max(1, connection.ops.bulk_batch_size(plan.fields, rows))
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        for start in range(0, len(rows), most):
            values = [plan.values(row) for row in rows[start : start + most]]
            groups = ", ".join([_marks(tuple([value is None for value in row])) for row in values])
            cursor.execute(plan.head + groups, [value for row in values for value in row if value is not None])
    note_inserted(rows, using)
    return True


def note_inserted(rows: Iterable[Model], using: str) -> None:
    """Let rows know that they are in the database."""
    for row in rows:
        row._state.adding = False
        row._state.db = using


@dataclass(frozen=True)
class Insertion:
    """How rows of a model are inserted: the statement up to its values, and where these come from."""

    head: str
    fields: tuple[Field[Any, Any], ...]
    columns: tuple[Column, ...]
    stamped: tuple[str, ...]

    def values(self, row: Model) -> list[Any]:
        """Return what the driver takes for the fields of a row, which is about to be written."""
        given = row.__dict__
        for name in self.stamped:
            given[name] = timezone.now()
        # As Column.of does, which each value would call.
        return [ways.get(type(value := given[name]), other)(value) for name, ways, other, _, _ in self.columns]


def have_expression(rows: Iterable[Model]) -> bool:
    """Tell whether a value of a row is to be worked out by the database."""
    kinds = set(map(type, chain.from_iterable([row.__dict__.values() for row in rows])))
    return any(map(_is_expression, kinds))


@lru_cache(maxsize=256)
def _is_expression(kind: type[Any]) -> bool:
    return hasattr(kind, "resolve_expression")


@lru_cache(maxsize=64)
def insertion(model: type[Model], using: str, vendor: str) -> Insertion | None:  # noqa: ARG001 - SQL depends on it
    """Return how rows of the model are inserted, None for those that have to go Django's way."""
    meta = model._meta
    fields = tuple(meta.local_concrete_fields)
    if meta.parents or meta.proxy or meta.db_returning_fields:
        return None
    if any(
        getattr(field, "generated", False) or field.remote_field or not is_stored_as_it_is(field) for field in fields
    ):
        return None
    query = sql.InsertQuery(model)
    query.insert_values(fields, [model()], raw=False)
    statements = query.get_compiler(using=using).as_sql()
    group = f"({', '.join(['%s'] * len(fields))})"
    if len(statements) != 1 or not statements[0][0].endswith(f"VALUES {group}"):
        return None
    columns = tuple(column_of(field, connections[using]) for field in fields)
    stamped = tuple(field.attname for field in fields if is_stamped(field))
    return Insertion(statements[0][0].removesuffix(group), fields, columns, stamped)


@lru_cache(maxsize=1024)
def _marks(are_null: tuple[bool, ...]) -> str:
    """Return the place of one row's values; what is null costs no work of the driver's."""
    return f"({', '.join(['NULL' if is_null else '%s' for is_null in are_null])})"
