"""Statements as Django writes them, kept: to compile one costs a worker more than to run it, and they never change.

Only plain models come this way. One with a ``save``, a manager or signals of its own, or with values that the database
makes, has to go Django's whole way; then nothing is done here and the caller is told so. ``inbox.py`` uses this.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Manager, Model, QuerySet, sql
from django.db.models.signals import post_save, pre_save

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Field


def has_plain_queries(model: type[Model]) -> bool:
    """Tell whether the model is asked for as Django would: a manager of the project's own may see other rows."""
    manager = model._default_manager
    return type(manager) is Manager and manager._queryset_class is QuerySet  # type: ignore[attr-defined]


def saves_plainly(model: type[Model]) -> bool:
    """Tell whether ``save()`` of a new row is one INSERT and nothing else that anybody could notice."""
    return (
        model.save is Model.save
        and model.save_base is Model.save_base
        and not any(signal.has_listeners(model) for signal in (pre_save, post_save))
    )


def insert(rows: Sequence[Model], using: str) -> bool:
    """Insert new rows of one model in one statement, without ``save()`` and its signals.

    Returns False when the model's rows cannot be written so, and nothing was done. Raises what the database raises; a
    transaction that is open can then only be rolled back.
    """
    connection = connections[using]
    plan = _insertion(type(rows[0]), using, connection.vendor)
    if plan is None:
        return False
    head, group, fields = plan
    most = max(1, connection.ops.bulk_batch_size(fields, rows))
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            values = [
                field.get_db_prep_save(field.pre_save(row, add=True), connection) for row in part for field in fields
            ]
            cursor.execute(head + ", ".join([group] * len(part)), values)
    for row in rows:
        row._state.adding = False
        row._state.db = using
    return True


@lru_cache(maxsize=64)
def _insertion(model: type[Model], using: str, vendor: str) -> tuple[str, str, tuple[Field[Any, Any], ...]] | None:  # noqa: ARG001
    """Return the statement up to its values, the values of one row, and the fields they are of."""
    meta = model._meta
    fields = tuple(meta.local_concrete_fields)
    if not has_plain_queries(model) or meta.parents or meta.proxy or meta.db_returning_fields:
        return None
    if any(getattr(field, "generated", False) for field in fields):
        return None
    query = sql.InsertQuery(model)
    query.insert_values(fields, [model()], raw=False)
    statements = query.get_compiler(using=using).as_sql()
    group = f"({', '.join(['%s'] * len(fields))})"
    if len(statements) != 1 or not statements[0][0].endswith(f"VALUES {group}"):
        return None
    return statements[0][0].removesuffix(group), group, fields
