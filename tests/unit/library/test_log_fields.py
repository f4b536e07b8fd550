"""What a JSON formatter has to work with: the structured fields of records about one message."""

from __future__ import annotations

import ast
import logging
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

import django_outbox
from django_outbox import Payload, enqueue
from django_outbox.models import Published
from django_outbox.testing import deliver, run_relay
from django_outbox.transport.memory import MemoryBroker
from tests.unit.library.conftest import documented_fields

pytestmark = pytest.mark.django_db


def _record(caplog: pytest.LogCaptureFixture, words: str) -> dict[str, Any]:
    (record,) = [vars(record) for record in caplog.records if words in record.getMessage()]
    return {name: record[name] for name in documented_fields() if name in record}


def test_a_sent_message_is_logged_with_its_id_and_destination(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    enqueue("/queue/x", {"secret": "body"})
    run_relay()
    row = Published.objects.get()
    assert _record(caplog, "Message published") == {"msg_id": str(row.id), "destination": "/queue/x"}
    assert "secret" not in caplog.text


def test_a_send_that_failed_is_logged_with_how_often_and_until_when(caplog: pytest.LogCaptureFixture) -> None:
    enqueue("/queue/x", {})
    broker = MemoryBroker(refuses={"/queue/x"})
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_PAUSE_FOR_RETRY": 240}):
        run_relay(broker)
    about = {"msg_id": str(Published.objects.get().id), "destination": "/queue/x"}
    assert _record(caplog, "failed for the 3. time") == about | {"attempts": 3, "retry_in": 240}


def test_a_send_that_is_given_up_is_logged_with_how_often(caplog: pytest.LogCaptureFixture) -> None:
    enqueue("/queue/x", {})
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_MAXIMUM_RETRY_ATTEMPTS": 1}):
        run_relay(MemoryBroker(refuses={"/queue/x"}))
    about = {"msg_id": str(Published.objects.get().id), "destination": "/queue/x"}
    assert _record(caplog, "parked as failed") == about | {"attempts": 1}


def test_a_callback_that_failed_is_logged_with_message_queue_and_correlation(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_payload: Payload) -> None:
        raise ValueError("no")

    enqueue("/topic/x", {}, headers={"dop-correlation-id": "order-7"})
    deliver(fail, "/topic/x", "billing", raise_errors=False)
    found = _record(caplog, "exception has been caught")
    assert found.pop("delivery_id").startswith("T_tests")
    row = Published.objects.get()
    assert found == {
        "msg_id": str(row.id),
        "destination": "/topic/x",
        "queue": "billing",
        "correlation_id": "order-7",
    }


def test_every_documented_field_is_one_that_the_library_writes() -> None:
    sources = Path(django_outbox.__file__).parent.rglob("*.py")
    keys = {
        key.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }
    assert documented_fields() <= keys
