"""``make_payload()``: a message for a callback's unit test, without a broker and without a subscriber."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_outbox import inbox
from django_outbox.payloads import Payload
from django_outbox.testing.messages import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE = "tests"


@dataclass
class FakeConnection:
    """Stands in for the connection of stomp.py and remembers in ``sent`` what a payload told it."""

    sent: list[tuple[str, str]] = field(default_factory=list)

    def ack(self, ack_id: str, **_headers: Any) -> None:
        """Remember the acknowledgement."""
        self.sent.append(("ACK", ack_id))

    def nack(self, ack_id: str, **_headers: Any) -> None:
        """Remember the refusal."""
        self.sent.append(("NACK", ack_id))


def make_payload(body: Any, headers: Mapping[str, Any] | None = None, *, queue: str = QUEUE) -> Payload:
    """Return a payload as a subscriber of ``queue`` hands it to its callback.

    ``body`` comes as JSON gives it back: a ``Decimal`` or a date as text, a tuple as a list. ``headers`` are added to
    those that every message has; give ``dop-msg-id`` to make the same message twice. ``payload.save()`` writes the
    inbox as in production, so the test needs the database; the other methods do not.
    """
    message_id = str(uuid.uuid4())
    all_headers = {
        "destination": f"/queue/{queue}",
        "message-id": f"T_{queue}@@tests@@1",
        "dop-msg-id": message_id,
        "dop-correlation-id": str(uuid.uuid4()),
        "content-type": "application/json",
        **{name: str(value) for name, value in (headers or {}).items()},
    }
    all_headers.setdefault("ack", all_headers["message-id"])
    document = plain(body)
    row = inbox.new_row(queue, inbox.message_identity(all_headers), document, all_headers)
    return Payload(FakeConnection(), document, all_headers, row)
