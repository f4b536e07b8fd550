"""Who wants to know of each new message: nobody in production, ``testing.capture_outbox()`` in tests.

``models.Published`` announces a message just before it is written, also one of ``bulk_create``, for which Django has no
signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

watchers: list[Callable[[Any], None]] = []


def announce(message: Any) -> None:
    """Tell whoever watches of a message that is about to be written."""
    for watcher in tuple(watchers):
        watcher(message)
