"""Write one message to the outbox: ``enqueue()``, for code that has no model to decorate.

Call it within the transaction that changes your data; both are committed or neither is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from django_outbox import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_outbox.models import Published


def published_model() -> type[Published]:
    """Return the outbox's model: ``DEFAULT_PUBLISHED_CLASS``."""
    model: type[Published] = import_string(settings.DEFAULT_PUBLISHED_CLASS)
    return model


def enqueue(
    destination: str,
    body: Any,
    *,
    headers: Mapping[str, Any] | None = None,
    version: str | None = None,
    using: str | None = None,
    key: str | None = None,
) -> Published:
    """Write a message and return its row.

    ``destination`` is a STOMP destination such as ``/topic/order.placed``, to which ``version`` is appended with a dot.
    ``body`` is anything that JSON can say. ``headers`` are sent along. ``using`` is the database alias to write to, by
    default the one that Django's routers choose. Messages of one ``key``, at most 255 characters, are sent in the order
    they were written in, however many publishers run; None asks for no order. Raises ``InvalidMessage``.
    """
    message = published_model()(
        destination=destination, body=body, headers=dict(headers or {}), version=version, key=key
    )
    message.save(using=using)
    return message
