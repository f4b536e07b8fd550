"""A callback, and what it may do with its payload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from django_outbox import Reject, RetryLater, batch_callback
from django_outbox.exceptions import DuplicateMessage, InvalidMessage, OutboxError

if TYPE_CHECKING:
    from django_outbox import Payload


def bill_order(payload: Payload) -> None:
    """Handle one message."""
    if "id" not in payload.body:
        payload.nack()
        return
    color: str = payload.headers.get("color", "")
    with transaction.atomic():
        print(payload.body["id"], color)
        payload.save()
    saved: bool = payload.saved
    committed: bool = payload.committed
    print(saved, committed)


def careful(payload: Payload) -> None:
    """Handle the errors of the library by name."""
    try:
        bill_order(payload)
    except DuplicateMessage:
        raise
    except (InvalidMessage, OutboxError) as error:
        print(error)


def ask(payload: Payload) -> None:
    """Ask for another try, or for none."""
    if payload.body is None:
        raise Reject("nothing to do")
    if payload.headers.get("later"):
        raise RetryLater(after=60, reason="the bank is closed", limit=5)
    payload.retry(after=60)


@batch_callback
def bill_orders(payloads: list[Payload]) -> None:
    """Handle many messages at a time."""
    for payload in payloads:
        bill_order(payload)


@batch_callback(size=100, wait=0.5)
def bill_many_orders(payloads: list[Payload]) -> int:
    """Handle a hundred of them."""
    bill_orders(payloads)
    return len(payloads)


@batch_callback(size="many")  # type: ignore[call-overload, untyped-decorator]
def takes_no_words(payloads: list[Payload]) -> None:
    """Not a size."""


@batch_callback  # type: ignore[type-var]
def takes_one(payload: Payload) -> None:
    """Not many."""


def mistakes(payload: Payload) -> None:
    """What the types catch."""
    payload.commit()  # type: ignore[attr-defined]
    payload.save("now")  # type: ignore[call-arg]
    RetryLater("soon")  # type: ignore[arg-type]
