"""However a message is written, it is whole."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_outbox import enqueue
from django_outbox.choices import StatusChoice
from django_outbox.models import Published, Received

pytestmark = pytest.mark.django_db


def test_a_created_message_waits_to_be_sent() -> None:
    message = Published.objects.create(destination="your_destination", body={"some": "data"})
    assert message.status == StatusChoice.SCHEDULE
    assert (message.retry, message.claim_token, message.next_attempt_at, message.last_error) == (0, None, None, None)
    assert str(message) == "your_destination - {'some': 'data'}"


def test_the_version_is_appended_once() -> None:
    message = Published(destination="/topic/a", body={}, version="v2")
    message.complete()
    message.save()
    message.save()
    message.refresh_from_db()
    assert message.destination == "/topic/a.v2"


def test_a_save_that_failed_can_be_repeated() -> None:
    message = Published(destination="/topic/a", body={}, version="v2", expires_at=None)
    with pytest.raises(Exception, match="NOT NULL"), transaction.atomic():
        message.save()
    message.expires_at = timezone.now()
    message.save()
    assert Published.objects.get().destination == "/topic/a.v2"


def test_bulk_create_writes_whole_messages() -> None:
    messages = [Published(destination="/topic/a", body={"n": n}, version="v1", headers={"n": n}) for n in range(3)]
    Published.objects.bulk_create(messages)
    written = list(Published.objects.order_by("id"))
    assert [message.body["n"] for message in written] == [0, 1, 2], "ids grow in the order of writing"
    assert {message.destination for message in written} == {"/topic/a.v1"}
    assert [message.headers["dop-msg-id"] for message in written] == [str(message.id) for message in written]
    assert [message.headers["n"] for message in written] == [0, 1, 2]
    assert {message.headers["dop-msg-destination"] for message in written} == {"/topic/a.v1"}


def test_enqueue_writes_a_message() -> None:
    message = enqueue("/topic/a", {"some": "data"}, headers={"tenant": "a"}, version="v3", using="default")
    message.refresh_from_db()
    assert message.destination == "/topic/a.v3"
    assert message.headers["tenant"] == "a"


def test_enqueue_does_not_change_what_it_is_given() -> None:
    headers = {"tenant": "a"}
    enqueue("/topic/a", {}, headers=headers)
    assert headers == {"tenant": "a"}


def test_a_message_is_gone_when_its_transaction_is_rolled_back() -> None:
    def fail() -> None:
        with transaction.atomic():
            enqueue("/topic/a", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not Published.objects.exists()


@pytest.mark.parametrize("body", ["text", 7, [1, 2], {"a": {"b": ["c"]}}, "\u00e9 \U0001f40d"])
def test_a_body_is_anything_that_json_can_say(body: Any) -> None:
    assert Published.objects.get(pk=enqueue("/topic/a", body).pk).body == body


def test_expiry_keeps_its_meaning_for_those_who_read_it() -> None:
    message = enqueue("/topic/a", {})
    assert message.expires_at - message.added > dt.timedelta(hours=23)


def test_a_received_message_tells_its_destination() -> None:
    assert Received(headers={"destination": "/topic/a"}).destination == "/topic/a"
    assert Received().destination == ""


def test_a_key_is_stored_and_sent_along() -> None:
    message = enqueue("/topic/a", {}, key="order-7", headers={"dop-msg-key": "somebody else's"})
    message.refresh_from_db()
    assert (message.key, message.headers["dop-msg-key"]) == ("order-7", "order-7")
    [other] = Published.objects.bulk_create([Published(destination="/topic/a", body={}, key="order-8")])
    assert other.headers["dop-msg-key"] == "order-8"


def test_a_message_without_a_key_has_no_header_of_one() -> None:
    for key in (None, ""):
        message = enqueue("/topic/a", {}, key=key)
        message.refresh_from_db()
        assert message.key is None
        assert "dop-msg-key" not in message.headers


def test_a_key_that_the_database_would_cut_off_is_not_taken() -> None:
    with pytest.raises(ValueError, match="key has 256 characters, at most 255"):
        enqueue("/topic/a", {}, key="x" * 256)
    assert not Published.objects.exists()
