"""Make of a row of the outbox what goes on the wire, or say why that cannot be done: no input or output.

The relay composes a batch before it sends it. Rows that our own code wrote can all be composed; what other means put
into the table (SQL, another program, an older release) costs only itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder

from django_outbox import jsontext
from django_outbox.exceptions import InvalidMessage
from django_outbox.headers import get_message_headers
from django_outbox.outbox import published_model
from django_outbox.transport.base import Outgoing
from django_outbox.wellformed import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django_outbox.store import ClaimedRow


def compose(rows: Iterable[ClaimedRow]) -> tuple[list[Outgoing], dict[UUID, str]]:
    """Return the messages of rows, in order, and why the others have none."""
    messages: list[Outgoing] = []
    unsayable: dict[UUID, str] = {}
    for row in rows:
        try:
            messages.append(_outgoing(row))
        except InvalidMessage as error:
            unsayable[row.id] = str(error)
    return messages, unsayable


def _outgoing(row: ClaimedRow) -> Outgoing:
    """Return a row as it goes on the wire; what the row's headers say wins over what we would."""
    for value in (row.body, row.headers):
        if isinstance(value, Unreadable):
            raise InvalidMessage(value.why)
    if not isinstance(row.headers, dict | None):
        raise InvalidMessage("the row's headers are not a JSON object")
    headers = {"persistent": "true", "content-type": "application/json"}
    headers |= {name: str(value) for name, value in _headers_of(row).items() if value is not None}
    return Outgoing(key=row.id, destination=row.destination, body=_body_of(row), headers=headers, lane=row.key)


def _body_of(row: ClaimedRow) -> str:
    if isinstance(row.body, jsontext.Written):
        return row.body
    try:
        # Other programs cannot read NaN and Infinity, which Python would write.
        return jsontext.writer(DjangoJSONEncoder, allow_nan=False)(row.body)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMessage(f"the row's body cannot be written as JSON: {error}") from error


def _headers_of(row: ClaimedRow) -> dict[str, Any]:
    """Return the row's headers, made now when it was written without any.

    Former releases did so for every row, or forgot it in ``bulk_create``; without an id no consumer knows a repetition.
    """
    if row.headers:
        return row.headers
    body = json.loads(row.body) if isinstance(row.body, jsontext.Written) else row.body
    message = published_model()(id=row.id, destination=row.destination, body=body, key=row.key)
    return get_message_headers(message)
