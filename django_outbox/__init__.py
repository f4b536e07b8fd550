"""The transactional outbox for Django over STOMP: what applications import, and nothing else.

Models are loaded on first use, because Django must have set up its apps before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_outbox.batching import batch_callback
    from django_outbox.choices import StatusChoice
    from django_outbox.decorators import Config, publish
    from django_outbox.exceptions import Reject, RetryLater
    from django_outbox.models import Published, Received
    from django_outbox.outbox import enqueue
    from django_outbox.payloads import Payload

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Payload",
    "Published",
    "Received",
    "Reject",
    "RetryLater",
    "StatusChoice",
    "batch_callback",
    "enqueue",
    "publish",
]

_HOMES = {
    "Config": "django_outbox.decorators",
    "Payload": "django_outbox.payloads",
    "Published": "django_outbox.models",
    "Received": "django_outbox.models",
    "Reject": "django_outbox.exceptions",
    "RetryLater": "django_outbox.exceptions",
    "StatusChoice": "django_outbox.choices",
    "batch_callback": "django_outbox.batching",
    "enqueue": "django_outbox.outbox",
    "publish": "django_outbox.decorators",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
