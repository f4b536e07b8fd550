"""Callbacks for the subscribers of django-outbox-pattern: the same effects as ``tests.django_project.callbacks``."""

import os
import time
from pathlib import Path

from django.db import connection, transaction


def _take_effect(payload):
    with connection.cursor() as cursor:
        column = connection.ops.quote_name("key")
        cursor.execute(f"INSERT INTO events_effect ({column}) VALUES (%s)", [str(payload.body["key"])])


def save(payload):
    """Take effect and save, in one transaction."""
    with transaction.atomic():
        _take_effect(payload)
        payload.save()


def takes_effect(payload):
    """Take effect; release 0.9.0 saves and acknowledges by itself."""
    _take_effect(payload)


def waits_for_gate(payload):
    """Take effect, tell that it began, and save only once the test has opened the gate."""
    folder = Path(os.environ["TEST_FOLDER"])
    with transaction.atomic():
        _take_effect(payload)
        (folder / f"began-{payload.body['key']}-{os.getpid()}").touch()
        while not (folder / "gate").exists():
            time.sleep(0.02)
        payload.save()


def raises(payload):
    """Fail as a bug would."""
    raise ValueError(f"cannot handle {payload.body['key']}")
