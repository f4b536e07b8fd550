"""``@batch_callback``: marks a callback that takes many messages at a time. Pure; ``batches.py`` runs such callbacks.

The mark is read when the subscription is made, so that a function may be decorated further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from django_outbox import settings
from django_outbox.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.payloads import Payload

    Function = TypeVar("Function", bound=Callable[[list[Payload]], object])

_MARK = "_outbox_batching"


@dataclass(frozen=True)
class Batching:
    """How many messages a callback takes at a time, and how long it waits for them; None follows the settings."""

    size: int | None = None
    wait: float | None = None

    @property
    def most(self) -> int:
        """Return how many messages a batch has at most."""
        return settings.CONSUMER_BATCH_SIZE if self.size is None else self.size

    @property
    def seconds(self) -> float:
        """Return how long the first message of a batch waits for others."""
        return settings.CONSUMER_BATCH_WAIT if self.wait is None else self.wait


@overload
def batch_callback(function: Function, /) -> Function: ...


@overload
def batch_callback(*, size: int | None = None, wait: float | None = None) -> Callable[[Function], Function]: ...


def batch_callback(function: Any = None, /, *, size: int | None = None, wait: float | None = None) -> Any:
    """Let a callback take a list of messages: ``callback(payloads: list[Payload])``.

    It is called with ``size`` messages at most, by default ``CONSUMER_BATCH_SIZE``; the first of them waits up to
    ``wait`` seconds for the others, by default ``CONSUMER_BATCH_WAIT``. It runs in a transaction that records all its
    messages as handled when it returns, except those it refused (``nack``), put off (``retry``) or acknowledged
    (``ack``): ``save`` is not needed. When it raises, the transaction is rolled back and the batch is handled again
    in halves, down to the one message that fails. Raises ``ConfigurationError`` for numbers that make no sense.
    """
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ConfigurationError(f"@batch_callback(size={size!r}): give a whole number, 1 or more.")
    if wait is not None and (
        not isinstance(wait, int | float) or isinstance(wait, bool) or not 0 <= wait < float("inf")
    ):
        raise ConfigurationError(f"@batch_callback(wait={wait!r}): give seconds, 0 or more.")

    def mark(callback: Any) -> Any:
        setattr(callback, _MARK, Batching(size, wait))
        return callback

    if function is None:
        return mark
    if not callable(function):
        raise ConfigurationError("@batch_callback takes its numbers by name: @batch_callback(size=100, wait=0.5).")
    return mark(function)


def batching_of(callback: Any) -> Batching | None:
    """Return how a callback takes batches, None for one that takes one message at a time."""
    found = getattr(callback, _MARK, None)
    return found if isinstance(found, Batching) else None
