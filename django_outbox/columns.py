"""What the driver takes for a field of a row: Django's own answer, found with less work where there is but one.

Django asks each field through several methods whatever the value is. For the exact field classes and values that our
tables are made of the answer is known; for all others Django is asked. ``compiled.py`` uses this.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import models

from django_outbox import jsontext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Field

Way = Callable[[Any], Any]

# PostgreSQL reads the text of these as the type of the column, in an INSERT as in a COPY.
_AS_TEXT: dict[type[Any], type[Any]] = {
    models.UUIDField: UUID,
    models.CharField: str,
    models.TextField: str,
    models.IntegerField: int,
    models.PositiveIntegerField: int,
    models.DateTimeField: datetime,
}
_JSON_AS_TEXT = frozenset({"postgresql", "mysql", "sqlite"})


class Column(NamedTuple):
    """A field by name, and what makes of its values those for the driver: by their exact type, and for all others."""

    name: str
    ways: Mapping[type[Any], Way]
    other: Way
    # What comes out is text or None.
    is_text: bool = False
    # That text may hold any character.
    is_free: bool = False

    def way(self, kind: type[Any]) -> Way:
        """Return what makes of values of one type those for the driver."""
        return self.ways.get(kind, self.other)

    def of(self, value: Any) -> Any:
        """Return what the driver takes for a value."""
        return self.ways.get(type(value), self.other)(value)


def column_of(field: Field[Any, Any], connection: BaseDatabaseWrapper) -> Column:
    """Return what makes of the values of a field what the driver of this connection takes."""
    if type(field) is models.JSONField and connection.vendor in _JSON_AS_TEXT:
        write = jsontext.writer(field.encoder)
        return Column(field.attname, {type(None): _nothing}, write, is_text=True, is_free=True)
    kind = _AS_TEXT.get(type(field)) if connection.vendor == "postgresql" else None
    if kind is None:
        return Column(field.attname, {}, lambda value: field.get_db_prep_save(value, connection))

    def by_django(value: Any) -> str | None:
        if isinstance(value, int) and kind is int:
            return int.__repr__(value)  # One of Django's choices.
        answer = field.get_db_prep_save(value, connection)
        return answer if answer is None else _text(answer)

    def moment(value: datetime) -> str | None:
        return by_django(value) if value.tzinfo is None else str(value)

    ways: dict[type[Any], Way] = {type(None): _nothing, kind: moment if kind is datetime else str}
    return Column(field.attname, ways, by_django, is_text=True, is_free=kind is str)


def is_stamped(field: Field[Any, Any]) -> bool:
    """Tell whether saving a new row sets the field to the time it is."""
    return type(field) is models.DateTimeField and (field.auto_now or field.auto_now_add)


def is_stored_as_it_is(field: Field[Any, Any]) -> bool:
    """Tell whether saving does nothing else with a field than to store the value in the instance."""
    return type(field) is models.DateTimeField or type(field).pre_save is models.Field.pre_save


def _nothing(_value: None) -> None:
    return None


def _text(value: Any) -> str:
    # One of Django's choices would say its name.
    return str.__str__(value) if isinstance(value, str) else str(value)
