"""Every error the library raises of its own.

    OutboxError
    ├── ConfigurationError              settings or arguments that cannot work; nothing is retried
    ├── InvalidMessage                  a message that no database or no broker can hold, refused when it is written
    ├── BrokerError                     something between us and the broker
    │   ├── BrokerUnavailable           no connection, or it was lost; come back later
    │   │   └── SubscriptionUnanswered  the broker did not say in time whether it took a subscription
    │   ├── BrokerRefused               the broker answered and said no to this login or virtual host
    │   ├── SubscriptionRefused         the broker said no to a subscription or to the queue it declares
    │   ├── MessageRefused              the broker said no to one message
    │   └── ReceiptTimeout              sent, but the broker did not confirm in time
    ├── DuplicateMessage                another delivery of the message was handled first
    ├── CallbackVerdict                 raised by callbacks, to say what is to become of the message
    │   ├── Reject                      to the dead letters, no further try
    │   └── RetryLater                  another try after some seconds
    └── ExceededSendAttemptsException   a direct send failed as often as it may

Errors of stomp.py and of the socket are translated at the transport's edge and chained; none of them gets past it.
"""

from __future__ import annotations

import math
from decimal import Decimal

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError


class OutboxError(Exception):
    """Base of every error this library raises."""


class ConfigurationError(OutboxError, ImproperlyConfigured):
    """A setting or an argument cannot work; the message says which one and what to write instead."""


class InvalidMessage(OutboxError, ValueError, TypeError):  # noqa: N818
    """A message cannot be written: it names the place, such as ``body['lines'][3]['note']``, and what is wrong there.

    Also a ``ValueError`` and a ``TypeError``, as ``json.dumps`` raises them for such bodies.
    """


class BrokerError(OutboxError):
    """Base of what goes wrong between this process and the broker."""


class BrokerUnavailable(BrokerError):  # noqa: N818 - a state of the world, not a mistake
    """The broker cannot be reached, or the connection to it was lost."""


class SubscriptionUnanswered(BrokerUnavailable):
    """The broker did not say in time whether it took a subscription, as when a quorum queue has no majority."""


class BrokerRefused(BrokerError):  # noqa: N818
    """The broker answered and refused the login or the virtual host."""


class SubscriptionRefused(BrokerError):  # noqa: N818
    """The broker refused a subscription or the declaration of its queue; the message says what to do."""


class MessageRefused(BrokerError):  # noqa: N818
    """The broker refused one message and said which."""


class ReceiptTimeout(BrokerError):  # noqa: N818
    """The broker took the message but did not confirm it in time."""


class DuplicateMessage(OutboxError, IntegrityError):  # noqa: N818 - nobody's mistake
    """Another delivery of the message was handled first; raised in the callback to roll its transaction back."""


class CallbackVerdict(OutboxError):  # noqa: N818 - a decision, not a mistake
    """Base of what a callback raises to decide what becomes of its message; its transaction is rolled back."""


class Reject(CallbackVerdict):
    """Raised by a callback: this message is not to be tried again. It goes to the dead letters with ``str(self)``."""


def check_wish(after: object, limit: object) -> None:
    """Check what a callback asks for another try with. Raises ``ValueError``: the callback is told, not the worker."""
    if after is not None and not _is_finite(after):
        raise ValueError(f"after must be a number of seconds, not {after!r}; leave it out for the next of the settings")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        raise ValueError(f"limit must be a whole number of tries, not {limit!r}")


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


class RetryLater(CallbackVerdict):
    """Raised by a callback: try this message again.

    ``after`` is in seconds and None for the next of ``CONSUMER_RETRY_DELAYS``. ``limit`` is how often the message may
    fail in all before it goes to the dead letters; None is 100. Raises ``ValueError`` for what is no such number.
    """

    def __init__(self, after: float | None = None, reason: str = "", *, limit: int | None = None) -> None:
        check_wish(after, limit)
        self.after = after
        self.limit = limit
        super().__init__(reason or "the callback asked for another try")


class ExceededSendAttemptsException(OutboxError):  # noqa: N818 - the name is a promise to code that catches it
    """A direct send failed as often as it may; ``attempts`` tells how often that was."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        super().__init__(f"Exceeded send attempts: {attempts}")
