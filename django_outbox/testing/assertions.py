"""``assert_published()``: hold the outbox to what a test expects, and show what was published instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS

from django_outbox.outbox import published_model
from django_outbox.testing.messages import Wanted, WrittenMessage, complaint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django_outbox.models import Published


def assert_published(  # noqa: PLR0913 - each is a thing a test may want to say
    destination: str | None = None,
    *,
    body: Any = None,
    headers: Mapping[str, Any] | None = None,
    count: int | None = None,
    exact: bool = False,
    messages: Iterable[WrittenMessage] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> list[WrittenMessage]:
    """Assert that such messages were written, and return them.

    ``destination`` is compared whole, with the version. A mapping as ``body`` is a part that the message's body must
    hold, at any depth; with ``exact`` the whole body is compared. ``headers`` must be there with these values.
    ``count`` is how many such messages there are; None means at least one. ``messages`` are those of a
    ``capture_outbox()``; without it all rows of the outbox in the database ``using`` are looked at, sent or not.
    Raises ``AssertionError``, which shows what was published.
    """
    if messages is None:
        messages = _all_messages(using)
    looked_at = list(messages)
    wanted = Wanted(destination=destination, body=body, headers=headers or {}, exact=exact)
    found = [message for message in looked_at if wanted.objection(message) is None]
    if (count is None and not found) or (count is not None and len(found) != count):
        raise AssertionError(complaint(wanted, count, looked_at))
    return found


def _all_messages(using: str) -> list[WrittenMessage]:
    rows = published_model()._base_manager.using(using).order_by("added", "pk")
    return [written_message(row, using) for row in rows]


def written_message(row: Published, using: str) -> WrittenMessage:
    """Return a row of the outbox as tests see it."""
    return WrittenMessage(
        id=row.pk,
        destination=row.destination,
        body=row.body,
        headers=row.headers or {},
        using=using,
        version=row.version,
        key=getattr(row, "key", None),
    )
