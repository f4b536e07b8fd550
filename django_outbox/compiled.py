"""Statements as Django writes them, kept: to compile one costs a worker more than to run it, and they never change.

Only plain models come this way. One with a ``save``, a manager or signals of its own, or with values that the database
makes, has to go Django's whole way; then nothing is done here and the caller is told so. ``inbox.py`` and ``models.py``
use this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Manager, Model, QuerySet, sql
from django.db.models.signals import post_init, post_save, pre_init, pre_save

from django_outbox.columns import writer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import Field

    from django_outbox.columns import Write


def has_plain_queries(model: type[Model]) -> bool:
    """Tell whether the model is asked for as Django would: a manager of the project's own may see other rows."""
    manager = model._default_manager
    return type(manager) is Manager and manager._queryset_class is QuerySet  # type: ignore[attr-defined]


def saves_plainly(model: type[Model]) -> bool:
    """Tell whether ``save()`` of a new row is one INSERT and nothing else that anybody could notice."""
    return model.save is Model.save and is_unheard(model)


def is_unheard(model: type[Model]) -> bool:
    """Tell whether nobody but ``Model.save`` itself would notice that a row is saved."""
    return model.save_base is Model.save_base and not (pre_save.has_listeners(model) or post_save.has_listeners(model))


def insert(rows: Sequence[Model], using: str) -> bool:
    """Insert new rows of one model in one statement, without ``save()`` and its signals.

    Returns False when the model's rows cannot be written so, and nothing was done. Raises what the database raises; a
    transaction that is open can then only be rolled back.
    """
    connection = connections[using]
    plan = insertion(type(rows[0]), using, connection.vendor)
    if plan is None or any(plan.has_expression(row) for row in rows):
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
    writes: tuple[Write, ...]

    def values(self, row: Model) -> list[Any]:
        """Return what the driver takes for the fields of a row."""
        return [write(row) for write in self.writes]

    def has_expression(self, row: Model) -> bool:
        """Tell whether a value is to be worked out by the database."""
        kinds: set[Any] = {type(value) for value in row.__dict__.values()}
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
    if any(getattr(field, "generated", False) or field.remote_field for field in fields):
        return None
    query = sql.InsertQuery(model)
    query.insert_values(fields, [model()], raw=False)
    statements = query.get_compiler(using=using).as_sql()
    group = f"({', '.join(['%s'] * len(fields))})"
    if len(statements) != 1 or not statements[0][0].endswith(f"VALUES {group}"):
        return None
    connection = connections[using]
    writes = tuple(writer_of(field, connection) for field in fields)
    return Insertion(statements[0][0].removesuffix(group), fields, writes)


@lru_cache(maxsize=1024)
def _marks(are_null: tuple[bool, ...]) -> str:
    """Return the place of one row's values; what is null costs no work of the driver's."""
    return f"({', '.join(['NULL' if is_null else '%s' for is_null in are_null])})"


def positional(model: type[Model], given: Mapping[str, Any]) -> list[Any] | None:
    """Return the values of a new instance in the order of the model's fields: so Django makes one in half the time.

    None when something is given that is no field, or when somebody listens and expects it by name.
    """
    names, defaults = _defaults(model)
    if not given.keys() <= names or pre_init.receivers or post_init.receivers:
        return None
    return [given[name] if name in given else default() if is_made else default for name, default, is_made in defaults]


@lru_cache(maxsize=64)
def _defaults(model: type[Model]) -> tuple[frozenset[str], tuple[tuple[str, Any, bool], ...]]:
    """Return what an instance can be given by name, and the defaults: the value, or the function that makes it."""
    fields = model._meta.concrete_fields
    if any(field.remote_field or getattr(field, "generated", False) or field.attname != field.name for field in fields):
        return frozenset(), ()
    if len(fields) != len(model._meta.fields):
        return frozenset(), ()
    defaults = tuple(
        (field.name, field.default, True)
        if field.has_default() and callable(field.default)
        else (field.name, field.get_default(), False)
        for field in fields
    )
    return frozenset(field.name for field in fields), defaults
