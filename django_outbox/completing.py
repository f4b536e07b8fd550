"""Make a new row of the outbox whole before it is written: checked, sent to its version, with headers.

``models.py`` calls it for each way of writing; what rows that are written together have in common is found once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from django.db import connections

from django_outbox import watching, wellformed
from django_outbox.exceptions import InvalidMessage
from django_outbox.headers import headers_maker

if TYPE_CHECKING:
    from json import JSONEncoder

    from django_outbox.models import Published


class Completion:
    """Completes rows that are about to be written to the database ``using``."""

    def __init__(self, using: str) -> None:
        self._max_depth = wellformed.depth_of(connections[using])
        self._make_headers = headers_maker()

    def complete(self, message: Published) -> None:
        """Append the version to the destination and make the headers, once for a row that is not written yet.

        Raises ``InvalidMessage`` for what the database or a broker could not hold.
        """
        before = message._completed_destination
        if not message._state.adding or (before is not None and before == message.destination):
            return
        self._check(message)
        if message.version:
            message.destination = f"{message.destination}.{message.version}"
        message._completed_destination = message.destination
        message.headers = self._make_headers(message)
        if watching.watchers:
            watching.announce(message)

    def _check(self, message: Published) -> None:
        message.key = wellformed.check_key(message.key)
        wellformed.check_destination(message.destination, message.version)
        takes_null, encoder = _body_of(type(message))
        if message.body is None and not takes_null:
            raise InvalidMessage("The body is None, which the column cannot hold. Give a body such as {}.")
        wellformed.check_body(message.body, self._max_depth, encoder)
        wellformed.check_headers(message.headers)


@lru_cache(maxsize=64)
def _body_of(model: type[Published]) -> tuple[bool, type[JSONEncoder] | None]:
    """Return whether a model's body may be None, and what writes it as JSON."""
    column = model._meta.get_field("body")
    return column.null, getattr(column, "encoder", None)
