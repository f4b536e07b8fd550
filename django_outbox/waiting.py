"""How a failed message waits where the broker does not deliver it later by itself: which queue, and until when. Pure.

A subscription has a few waiting queues, each for waits up to one length, so that whoever came first is about the first
to be due. A message says itself when it is due. Its subscribers take it, hold it without acknowledging until then, and
bring it back under a confirm (``returning.py``). A wait longer than the longest queue is a chain of such waits, as
RabbitMQ ends a connection that leaves a message unacknowledged for half an hour.

Such a queue also lets its messages drop out by themselves, much later. That is for messages whose subscribers are all
of another kind; RabbitMQ does it without a confirm, so it is not the way that messages are meant to go.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DUE = "dop-due"
# The end of the present wait, when another one follows it.
UNTIL = "dop-waits-until"

# Seconds. The longest one bounds how long a message is held unacknowledged, and must stay far below 30 minutes.
LENGTHS = (2, 15, 60, 300)
# How long after its time a message that nobody took drops out of its waiting queue.
NET_SECONDS = 3600
# What is longer is no delay but a mistake; and a date further off than any calendar cannot be written down.
LONGEST_WAIT_SECONDS = 10 * 365 * 86400.0


def length_for(seconds: float) -> int:
    """Return the length of the queue to wait in for so many seconds, or to begin waiting in."""
    return next((length for length in LENGTHS if seconds <= length), LENGTHS[-1])


def stamps(seconds: float, now: datetime) -> dict[str, str]:
    """Return the headers that tell when a message is due that waits from ``now`` on for so many seconds."""
    seconds = min(max(0.0, seconds), LONGEST_WAIT_SECONDS)
    headers = {DUE: _text(now + timedelta(seconds=seconds))}
    if seconds > LENGTHS[-1]:
        headers[UNTIL] = _text(now + timedelta(seconds=LENGTHS[-1]))
    return headers


def seconds_to_hold(headers: Mapping[str, Any], now: datetime) -> float:
    """Return how long to hold a message that was taken from a waiting queue; 0 when it does not say, or says nonsense.

    However far apart the clocks of two machines are, it is not longer than the longest queue is for.
    """
    return min(_seconds_to(headers.get(UNTIL) or headers.get(DUE), now), LENGTHS[-1])


def seconds_left(headers: Mapping[str, Any], now: datetime) -> float:
    """Return how long it is until the message is due; 0 when it is, or does not say."""
    return _seconds_to(headers.get(DUE), now)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _seconds_to(text: Any, now: datetime) -> float:
    try:
        moment = datetime.fromisoformat(str(text)) if text else now
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0
