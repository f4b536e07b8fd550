"""Time spans in words, for people: used by the commands and the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

if TYPE_CHECKING:
    from datetime import datetime

_STEPS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def age(since: datetime | None) -> str:
    """Return how long ago something was, in its two largest units; a dash for never."""
    if since is None:
        return "-"
    # Django's own now() is naive where the project's times are.
    return span(max(0.0, (timezone.now() - since).total_seconds()))


def span(seconds: float) -> str:
    """Return a time span in its two largest units."""
    left, parts = int(seconds), []
    for size, unit in _STEPS:
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"
