"""What a callback may ask of its payload, in a subscriber and made by hand."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from django.db import transaction

from django_outbox import inbox
from django_outbox.exceptions import DuplicateMessage
from django_outbox.models import Received
from django_outbox.payloads import Notebook, Payload
from tests.unit.library.consume.doubles import Connection, headers


def _payload(connection: Any = None, identity: str = "m-1") -> Payload:
    message = inbox.new_row("billing", identity, {"a": 1}, headers(dop_msg_id=identity))
    return Payload(connection or Connection(), {"a": 1}, headers(dop_msg_id=identity), message)


def test_a_payload_made_by_hand_settles_on_its_connection() -> None:
    connection = Connection()
    Payload(connection, {}, {"message-id": "1"}).ack()
    Payload(connection, {}, {"message-id": "2"}).nack()
    assert connection.sent == [("ACK", "1"), ("NACK", "2", {"requeue": False})]


def test_the_acknowledgement_names_what_the_frame_says_it_wants() -> None:
    connection = Connection()
    Payload(connection, {}, {"message-id": "1", "ack": "tag-1"}).ack()
    assert connection.sent == [("ACK", "tag-1")]


def test_the_first_of_ack_and_nack_counts() -> None:
    connection = Connection()
    payload = Payload(connection, {}, {"message-id": "1"})
    payload.nack()
    payload.ack()
    payload.nack()
    assert len(connection.sent) == 1
    assert (payload.nacked, payload.acked) == (True, None)


def test_saving_without_a_message_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="message=Received"):
        Payload(Connection(), {}, {}).save()


def test_a_message_that_is_no_model_is_saved_as_it_is() -> None:
    message = MagicMock()
    payload = Payload(Connection(), {}, {}, message)
    payload.save()
    message.save.assert_called_once_with()
    assert payload.saved


@pytest.mark.django_db(transaction=True)
def test_a_save_is_committed_with_the_transaction_round_it() -> None:
    payload = _payload()
    with transaction.atomic():
        payload.save()
        assert (payload.saved, payload.committed) == (True, False)
    assert payload.committed
    assert Received.objects.get().consumer == "billing"


@pytest.mark.django_db(transaction=True)
def test_a_save_outside_a_transaction_is_committed_at_once() -> None:
    payload = _payload()
    payload.save()
    assert payload.committed


@pytest.mark.django_db(transaction=True)
def test_a_save_that_is_rolled_back_is_never_committed() -> None:
    payload = _payload()
    with transaction.atomic():
        payload.save()
        transaction.set_rollback(True)
    assert (payload.saved, payload.committed) == (True, False)
    assert not Received.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_save_in_a_savepoint_that_is_rolled_back_is_never_committed() -> None:
    payload = _payload()
    with transaction.atomic():
        with transaction.atomic():
            payload.save()
            transaction.set_rollback(True)
        assert not payload.committed
    assert not payload.committed


@pytest.mark.django_db(transaction=True)
def test_a_callback_may_save_again_after_its_first_transaction_failed() -> None:
    payload = _payload()
    with transaction.atomic():
        payload.save()
        transaction.set_rollback(True)
    with transaction.atomic():
        payload.save()
    assert payload.committed
    assert Received.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_slower_of_two_deliveries_is_told_and_leaves_nothing() -> None:
    _payload().save()
    slower = _payload()
    with pytest.raises(DuplicateMessage), transaction.atomic():
        slower.save()
    assert (slower.duplicate, slower.saved, slower.committed) == (True, False, False)
    assert Received.objects.count() == 1


def test_a_subscribers_payload_sends_nothing_itself() -> None:
    connection = Connection()
    payload = _payload(Notebook(connection))
    payload.nack()
    assert payload.nacked
    assert connection.sent == []
    assert payload.connection.is_connected()
