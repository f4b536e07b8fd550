"""Make a connection, a producer or a consumer as the settings describe them.

The names are those of django-outbox-pattern; nothing is read before a function is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_outbox import settings
from django_outbox.transport.stomp import build_connection

if TYPE_CHECKING:
    from django_outbox.consumers import Consumer
    from django_outbox.producers import Producer


def factory_connection(use_heartbeats: bool = True) -> Any:
    """Return a stomp.py connection that is not connected yet, with virtual host, heartbeats and TLS set."""
    return build_connection(settings.DEFAULT_STOMP_HEARTBEATS if use_heartbeats else None)


def factory_consumer() -> Consumer:
    """Return a consumer; ``start(callback, destination, queue_name)`` sets it to work."""
    from django_outbox.consumers import Consumer  # noqa: PLC0415 - the publisher has no use for the consumer's modules

    return Consumer(factory_connection(), settings.DEFAULT_STOMP_USERNAME, settings.DEFAULT_STOMP_PASSCODE)


def factory_producer() -> Producer:
    """Return a producer; within ``with`` it is connected."""
    from django_outbox.producers import Producer  # noqa: PLC0415 - the consumer has no use for the producer's modules

    connection = factory_connection(use_heartbeats=False)
    return Producer(connection, settings.DEFAULT_STOMP_USERNAME, settings.DEFAULT_STOMP_PASSCODE)


def __getattr__(name: str) -> Any:
    # Constants in django-outbox-pattern, where they were read at import.
    if name in {"USERNAME", "PASSCODE"}:
        return settings.value_of(f"DEFAULT_STOMP_{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
