"""What is written on a message that failed, and what becomes of it: pure, no broker needed.

A failed message goes on as a copy: to a queue that holds it back for a while, or to the dead letters. The copy carries
how often the message failed and why, so that any subscriber can go on counting and a person can read the story.
``settlement.py`` decides with this and ``forwarding.py`` sends; ``deadletters.py`` reads it and replays.
"""

from __future__ import annotations

import math
import sysconfig
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_outbox import waiting
from django_outbox.exceptions import check_wish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

ATTEMPTS = "dop-attempts"
ERROR = "dop-error"
FINGERPRINT = "dop-error-fingerprint"
FAILED_AT = "dop-failed-at"
QUEUE = "dop-queue"
DESTINATION = "dop-destination"

# What this module writes on a message, and what a replay leaves out so that the message begins anew.
STORY = (ATTEMPTS, ERROR, FINGERPRINT, FAILED_AT, QUEUE, DESTINATION)

ERROR_LENGTH = 500  # characters
FINGERPRINT_LENGTH = 200  # characters
# A callback that asks for another try each time is believed this often, unless it says how often itself.
ASKED_LIMIT = 100

# They belong to one delivery, or would make the broker treat the copy as what it is not: let it expire among the dead
# letters, refuse it because another user sent it first, or take it for a message that goes in circles.
_OF_THE_DELIVERY = frozenset(
    {
        *("destination", "subscription", "message-id", "ack", "redelivered", "content-length", "receipt"),
        *("expiration", "expires", "user-id", "persistent", "x-delivery-count", "x-acquired-count"),
        *("transaction", "id", "selector", "JMSXDeliveryCount", "JMSXUserID"),
    }
)
# What the queue that holds a message back is declared with; RabbitMQ leaves it on the message.
_OF_THE_DELAY = ("x-death", "x-first-death", "x-last-death", "x-dead-letter", "x-message-ttl", "x-expires", "x-queue-")
_OF_THE_SCHEDULE = frozenset(
    {
        *("durable", "auto-delete", "exclusive", "receipt", waiting.DUE, waiting.UNTIL),
        *("AMQ_SCHEDULED_DELAY", "scheduledJobId", "_AMQ_SCHED_DELIVERY"),
    }
)

_NOT_THE_APPLICATION = tuple(
    path for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))
)


@dataclass(frozen=True)
class Failure:
    """Why a message did not take effect.

    ``error`` is for people, one line. ``fingerprint`` is the same for failures of one kind. ``final`` means that
    another try is of no use. ``asked`` is the callback's own wish for another try.
    """

    error: str
    fingerprint: str = ""
    final: bool = False
    asked: Asked | None = None

    @classmethod
    def of(cls, error: BaseException, *, final: bool = False, asked: Asked | None = None) -> Failure:
        """Describe an exception that the callback raised."""
        return cls(error=describe(error), fingerprint=fingerprint(error), final=final, asked=asked)


@dataclass(frozen=True)
class Asked:
    """A callback's wish for another try: ``after`` seconds, None for the next delay of the settings.

    ``limit`` is how often the message may fail in all before it is a dead letter, None for ``ASKED_LIMIT``. Raises
    ``ValueError`` for what is no such number.
    """

    after: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        check_wish(self.after, self.limit)


def delay_before_next(failure: Failure, failed: int, delays: Sequence[float]) -> float | None:
    """Return the seconds until the next try of a message that has now failed ``failed`` times, None for no more."""
    if failure.final:
        return None
    asked = failure.asked
    if asked is None:
        return delays[failed - 1] if failed <= len(delays) else None
    limit = asked.limit if asked.limit is not None else ASKED_LIMIT
    if failed >= limit:
        return None
    if asked.after is not None:
        return round_up(asked.after)
    # Beyond the last delay the last one goes on: it was asked for.
    return delays[min(failed, len(delays)) - 1] if delays else None


def round_up(seconds: float) -> float:
    """Return the delay with two significant digits, a tenth of a second at least and ten years at most."""
    seconds = min(max(float(seconds), 0.1), waiting.LONGEST_WAIT_SECONDS)
    step = 10.0 ** (math.floor(math.log10(seconds)) - 1)
    return round(math.ceil(round(seconds / step, 6)) * step, 6)


def attempts_of(headers: Mapping[str, Any]) -> int:
    """Return how often the message has failed before; 0 when it does not say, or says nonsense."""
    value = str(headers.get(ATTEMPTS, ""))
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else 0


def as_first_received(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the headers with the destination that the message first came from; those of a first try are left alone."""
    if ATTEMPTS not in headers and DESTINATION not in headers:
        return headers
    kept = {name: value for name, value in headers.items() if not _is_of_the_delay(name)}
    return kept | ({"destination": headers[DESTINATION]} if headers.get(DESTINATION) else {})


def begin_anew(headers: Mapping[str, Any], destination: str) -> dict[str, str]:
    """Return the headers to replay a dead letter with: its own, and of its story only where it first came from."""
    kept = _own(headers)
    for name in STORY:
        kept.pop(name, None)
    return kept | ({DESTINATION: destination} if destination else {}) | {"persistent": "true"}


def tell(headers: Mapping[str, Any], failure: Failure, queue: str, now: datetime) -> dict[str, str]:
    """Return the headers of the copy: those the message came with, and its story so far."""
    return _own(headers) | {
        ATTEMPTS: str(attempts_of(headers) + 1),
        ERROR: failure.error,
        FINGERPRINT: failure.fingerprint,
        FAILED_AT: now.isoformat(timespec="milliseconds"),
        QUEUE: queue,
        DESTINATION: str(headers.get(DESTINATION) or headers.get("destination", "")),
        "persistent": "true",
    }


def brought_back(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of the copy that ends a wait, or goes on waiting: as the failure left them."""
    return _own(headers) | {"persistent": "true"}


def describe(error: BaseException) -> str:
    """Return the class and the first line of an exception, at most ``ERROR_LENGTH`` characters."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return one_line(f"{type(error).__name__}: {first}" if first else type(error).__name__)


def one_line(text: str) -> str:
    """Return the text so that it fits a header: one line, no NUL, what UTF-8 can say, ``ERROR_LENGTH`` at most."""
    whole = " ".join(text.replace("\0", "\N{REPLACEMENT CHARACTER}").split())
    return whole.encode("utf-8", "replace").decode()[:ERROR_LENGTH]


def fingerprint(error: BaseException) -> str:
    """Return the exception's class and the function that it came from, the innermost of the application's own."""
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    place = _place(error.__traceback__)
    return one_line(f"{name}@{place}" if place else name)[:FINGERPRINT_LENGTH]


def _own(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that are the message's own."""
    return {
        name: str(value)
        for name, value in headers.items()
        if name not in _OF_THE_DELIVERY and not _is_of_the_delay(name) and value is not None
    }


def _place(traceback: TracebackType | None) -> str:
    found = fallback = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{traceback.tb_frame.f_globals.get('__name__', '?')}.{code.co_qualname}"
        fallback = place
        if not code.co_filename.startswith(_NOT_THE_APPLICATION) and not place.startswith("django_outbox."):
            found = place
        traceback = traceback.tb_next
    return found or fallback


def _is_of_the_delay(name: str) -> bool:
    return name.startswith(_OF_THE_DELAY) or name in _OF_THE_SCHEDULE
