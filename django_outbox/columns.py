"""What the driver takes for a field of a row: Django's own answer, found with less work where there is but one.

Django asks each field through several methods whatever the value is. For the exact field classes and values that our
tables are made of the answer is known; for all others Django is asked. ``compiled.py`` uses this.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Field, Model

Write = Callable[["Model"], Any]

# Their values go to PostgreSQL's drivers as they are.
_AS_THEY_ARE: dict[type[Any], type[Any]] = {
    models.UUIDField: UUID,
    models.CharField: str,
    models.TextField: str,
    models.IntegerField: int,
    models.PositiveIntegerField: int,
}
_JSON_AS_TEXT = frozenset({"postgresql", "mysql", "sqlite"})


def writer_of(field: Field[Any, Any], connection: BaseDatabaseWrapper) -> Write:
    """Return what makes of a row the value of one of its fields, as the driver of this connection takes it."""
    if type(field) is models.JSONField and connection.vendor in _JSON_AS_TEXT:
        return _json(field)
    if connection.vendor == "postgresql":
        if type(field) is models.DateTimeField:
            return _moment(field, connection)
        if type(field) in _AS_THEY_ARE:
            return _as_it_is(field, connection, _AS_THEY_ARE[type(field)])
    return lambda row: field.get_db_prep_save(field.pre_save(row, add=True), connection)


def _json(field: models.JSONField[Any, Any]) -> Write:
    name, encoder = field.attname, field.encoder

    def write(row: Model) -> str | None:
        value = row.__dict__[name]
        return None if value is None else json.dumps(value, cls=encoder)

    return write


def _as_it_is(field: Field[Any, Any], connection: BaseDatabaseWrapper, kind: type[Any]) -> Write:
    name = field.attname

    def write(row: Model) -> Any:
        value = row.__dict__[name]
        if value is None or type(value) is kind:
            return value
        if kind is int and isinstance(value, int):
            return int(value)  # One of Django's choices.
        return field.get_db_prep_save(value, connection)

    return write


def _moment(field: models.DateTimeField[Any, Any], connection: BaseDatabaseWrapper) -> Write:
    name, is_set_now = field.attname, field.auto_now or field.auto_now_add

    def write(row: Model) -> Any:
        value = field.pre_save(row, add=True) if is_set_now else row.__dict__[name]
        if value is None or (type(value) is datetime and value.tzinfo is not None):
            return value
        return field.get_db_prep_save(value, connection)

    return write
