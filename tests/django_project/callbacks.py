"""Callbacks of the tests: each leaves an ``Effect`` row and ends in a way that one test is about."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import DatabaseError, OperationalError, connection, transaction

from django_outbox import Reject, RetryLater, batch_callback
from django_outbox.models import Published
from tests.django_project.events.models import Effect

if TYPE_CHECKING:
    from django_outbox.payloads import Payload


def _key(payload: Payload) -> str:
    """Return what a test calls the message: its body's key, the body itself where it is no JSON object."""
    return str(payload.body.get("key")) if isinstance(payload.body, dict) else str(payload.body)


def save(payload: Payload) -> None:
    """Take effect and save, as an application's callback does."""
    with transaction.atomic():
        Effect.objects.create(key=_key(payload))
        payload.save()


def raises(payload: Payload) -> None:
    """Fail as a bug would."""
    raise ValueError(f"cannot handle {_key(payload)}")


def raises_on_bad(payload: Payload) -> None:
    """Fail for the messages that are no JSON object or whose key begins with "bad", and save the others."""
    if not isinstance(payload.body, dict) or _key(payload).startswith("bad"):
        raise ValueError(f"cannot handle {_key(payload)}")
    save(payload)


def saves_by_number(payload: Payload) -> None:
    """Take effect under the number in the headers, or fail where that begins with "bad"."""
    number = str(payload.headers.get("corpus"))
    if number.startswith("bad"):
        raise ValueError(f"cannot handle {number}")
    with transaction.atomic():
        Effect.objects.create(key=number)
        payload.save()


def nacks(payload: Payload) -> None:
    """Refuse the message."""
    payload.nack()


def does_nothing(payload: Payload) -> None:
    """Forget to save or to refuse."""


def exits(payload: Payload) -> None:
    """End the interpreter, or try to."""
    raise SystemExit(3)


def rolls_back(payload: Payload) -> None:
    """Save in a transaction that is rolled back, and come back as if nothing had happened."""
    with transaction.atomic():
        Effect.objects.create(key=_key(payload))
        payload.save()
        transaction.set_rollback(True)


def database_fails_twice(payload: Payload) -> None:
    """Fail as a database in trouble does, twice for each message, then save."""
    attempts = Path(os.environ["TEST_FOLDER"]) / f"attempts-{_key(payload)}"
    with attempts.open("a") as log:
        log.write("x")
    if attempts.stat().st_size <= 2:
        raise OperationalError("the database is starting up")
    save(payload)


def waits_for_gate(payload: Payload) -> None:
    """Take effect, tell that it began, and end the transaction only once the test has opened the gate."""
    folder = Path(os.environ["TEST_FOLDER"])
    with transaction.atomic():
        Effect.objects.create(key=_key(payload))
        (folder / f"began-{_key(payload)}-{os.getpid()}").touch()
        while not (folder / "gate").exists():
            time.sleep(0.02)
        payload.save()


def waits_where_told(payload: Payload) -> None:
    """Save; where the key says so, wait for the gate within the transaction or once it is committed."""
    gate, began = (Path(os.environ["TEST_FOLDER"]) / name for name in ("gate", f"began-{_key(payload)}-{os.getpid()}"))

    def wait() -> None:
        began.touch()
        while not gate.exists():
            time.sleep(0.02)

    with transaction.atomic():
        Effect.objects.create(key=_key(payload))
        payload.save()
        if _key(payload).startswith("within"):
            wait()
        if _key(payload).startswith("after"):
            transaction.on_commit(wait)


def spoils_the_transaction(payload: Payload) -> None:
    """Save; for keys that begin with "bad" then let an error of the database go by unseen."""
    save(payload)
    if _key(payload).startswith("bad"):
        with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")


def publishes_many(payload: Payload) -> None:
    """Write events of its own, without a transaction of its own; fail for keys that begin with "bad"."""
    key = _key(payload)
    Published.objects.bulk_create(Published(destination="/topic/many", body={"key": key}) for _ in range(60))
    if key.startswith("bad"):
        raise ValueError(f"cannot handle {key}")
    payload.save()


def notes_connection(payload: Payload) -> None:
    """Save, and note which of the database server's processes did the work."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        Effect.objects.create(key=f"connection of {_key(payload)} {cursor.fetchone()[0]}")
        payload.save()


def fails_twice(payload: Payload) -> None:
    """Fail at the first two tries of a message, and leave an effect that tells which try it was and where from."""
    if payload.attempt <= 2:
        raise ValueError(f"try {payload.attempt} of {_key(payload)}")
    with transaction.atomic():
        Effect.objects.create(key=_key(payload))
        Effect.objects.create(key=f"{_key(payload)} at {payload.attempt} from {payload.headers['destination']}")
        payload.save()


def as_told(payload: Payload) -> None:
    """Do what the body says: save, or fail, twice, each time, or until the test has mended it; tell of each try."""
    key, how = _key(payload), payload.body["how"]
    mended = (Path(os.environ["TEST_FOLDER"]) / f"mended-{key}").exists()
    if how == "fail" or (how == "fail twice" and payload.attempt <= 2) or (how == "fail until mended" and not mended):
        raise ValueError(f"cannot handle {key}")
    with transaction.atomic():
        Effect.objects.create(key=f"{key} {payload.attempt} from {payload.headers['destination']}")
        payload.save()


def rejects(payload: Payload) -> None:
    """Refuse the message by raising, from within a transaction that has saved."""
    with transaction.atomic():
        payload.save()
        raise Reject("the customer is gone")


def asks_once(payload: Payload) -> None:
    """Ask for another try in the body's words, then save."""
    if payload.attempt > 1:
        save(payload)
    elif payload.body["how"] == "raise":
        raise RetryLater(0.3, "not yet")
    else:
        payload.retry(after=0.3, reason="not yet")


@batch_callback(size=20, wait=2)
def saves_batch(payloads: list[Payload]) -> None:
    """Take effect for all of a batch; fail for keys that begin with "bad"."""
    for payload in payloads:
        Effect.objects.create(key=_key(payload))
        if _key(payload).startswith("bad"):
            raise ValueError(f"cannot handle {_key(payload)}")


@batch_callback(size=60, wait=2)
def saves_large_batch(payloads: list[Payload]) -> None:
    """Take effect for all of a batch that is large enough for its inbox rows to be copied."""
    Effect.objects.bulk_create(Effect(key=_key(payload)) for payload in payloads)


@batch_callback(size=20, wait=0.1)
def batch_waits_for_gate(payloads: list[Payload]) -> None:
    """Take effect for all of a batch, and come back only once the test has opened the gate."""
    folder = Path(os.environ["TEST_FOLDER"])
    for payload in payloads:
        Effect.objects.create(key=_key(payload))
    (folder / f"began-batch-{os.getpid()}").touch()
    while not (folder / "gate").exists():
        time.sleep(0.02)


@batch_callback(size=20, wait=2)
def batch_decides_singly(payloads: list[Payload]) -> None:
    """Refuse those that say so, put off at their first try those that say so, and save the others."""
    for payload in payloads:
        if payload.body["how"] == "nack":
            payload.nack("not ours")
        elif payload.body["how"] == "retry" and payload.attempt == 1:
            payload.retry(after=0.2)
        else:
            Effect.objects.create(key=_key(payload))
