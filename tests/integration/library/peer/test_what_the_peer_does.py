"""Defects of release 3.2.1 that can be shown in a moment, by its own code: what ``docs/comparison.md`` says is so.

One process runs all the probes; each answers for the row of the table it is named after.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.library.peer.peer import Peer, installed
from tests.rig.peers import LAST

if TYPE_CHECKING:
    from pathlib import Path

PROBES = """
import json
from datetime import timedelta
from unittest.mock import MagicMock, patch
from django.core import serializers
from django.db import models, transaction
from django.test import override_settings
from django.utils import timezone
from django_outbox_pattern import settings
from django_outbox_pattern.consumers import Consumer
from django_outbox_pattern.decorators import Config, publish
from django_outbox_pattern.models import Published, Received
from django_outbox_pattern.producers import Producer

HEADERS = {"message-id": "tag", "dop-msg-id": "m"}

def a_consumer(callback):
    consumer = Consumer(MagicMock(), "guest", "guest")
    consumer.callback = callback
    return consumer

def a_row(**given):
    row = Published(destination="/topic/a", body={}, **given)
    row.save()
    return row

def drain(connection):
    producer = Producer(connection, "guest", "guest")
    with patch("django_outbox_pattern.producers.sleep"):
        producer.publish_message_from_database()

def marks_as_sent_what_nobody_confirmed():
    row, connection = a_row(), MagicMock()
    drain(connection)
    row.refresh_from_db()
    return row.status == 2 and "receipt" not in str(connection.send.call_args)

def sends_transient_messages():
    connection = MagicMock()
    a_row()
    drain(connection)
    return "persistent" not in connection.send.call_args.kwargs["headers"]

def dies_of_a_broken_pipe_and_forgets_what_it_sent():
    first = a_row()
    a_row()
    connection = MagicMock()
    connection.send.side_effect = [None, BrokenPipeError()]
    try:
        drain(connection)
    except BrokenPipeError:
        first.refresh_from_db()
        return connection.send.call_count == 2 and Published.objects.filter(status=1).count() == 2
    return False

def never_sends_what_waited_a_day():
    connection = MagicMock()
    row = a_row(expires_at=timezone.now() - timedelta(minutes=1))
    drain(connection)
    row.refresh_from_db()
    return not connection.send.called and row.status == 1

def deletes_what_was_not_sent():
    row = a_row()
    Published.objects.filter(pk=row.pk).update(added=timezone.now() - timedelta(days=31))
    from django.core.cache import cache
    cache.clear()
    Producer(MagicMock(), "guest", "guest").send_event({}, "/topic/a")
    return not Published.objects.filter(pk=row.pk).exists()

def makes_headers_anew_with_each_save():
    row = a_row()
    before = dict(row.headers)
    row.save()
    return row.headers["dop-msg-sent-time"] != before["dop-msg-sent-time"]

def leaves_headers_out_of_bulk_create():
    row, = Published.objects.bulk_create([Published(destination="/topic/a", body={}, version="v1")])
    return row.headers == {} and row.destination == "/topic/a"

def drops_the_save_of_a_model():
    called = []
    class Own(models.Model):
        class Meta:
            app_label = "probes"
        def save(self, *args, **kwargs):
            called.append(1)
    decorated = publish([Config(destination="/topic/a")])(Own)
    with patch("django.db.models.Model.save"), patch("django_outbox_pattern.decorators._create_published"):
        decorated().save()
    return called == []

def never_ends_on_a_subclass():
    @publish([Config(destination="/topic/a")])
    class Parent(models.Model):
        class Meta:
            app_label = "probes"
    class Child(Parent):
        class Meta:
            app_label = "probes"
    try:
        Child().save()
    except RecursionError:
        return True
    return False

def dies_of_a_message_before_its_subscription():
    from django_outbox_pattern.listeners import ConsumerListener
    frame = MagicMock(headers={"subscription": "s", "message-id": "tag"})
    try:
        ConsumerListener(a_consumer(lambda payload: None)).on_message(frame)
    except TypeError:
        return True
    return False

def drops_the_message_of_the_second_queue():
    called = []
    def callback(payload):
        called.append(1)
        payload.save()
    for _queue in ("billing", "shipping"):
        a_consumer(callback).message_handler("{}", HEADERS)
    return called == [1]

def refuses_a_message_whose_twin_was_quicker():
    def callback(payload):
        Received(msg_id="m").save()
        payload.save()
    consumer = a_consumer(callback)
    consumer.message_handler("{}", HEADERS)
    return consumer.connection.nack.called and Received.objects.filter(msg_id="m").exists()

def takes_an_id_that_is_new_in_each_delivery():
    called = []
    consumer = a_consumer(lambda payload: (called.append(1), payload.save()))
    for delivery in (1, 2):
        consumer.message_handler("{}", {"message-id": f"T_1@@session-1@@{delivery}"})
    return len(called) == 2

def leaves_a_message_unsettled_for_ever():
    consumer = a_consumer(lambda payload: None)
    consumer.message_handler("{}", HEADERS)
    return not consumer.connection.ack.called and not consumer.connection.nack.called

def acknowledges_a_save_that_was_rolled_back():
    def callback(payload):
        try:
            with transaction.atomic():
                payload.save()
                raise ValueError
        except ValueError:
            pass
    consumer = a_consumer(callback)
    consumer.message_handler("{}", HEADERS)
    return consumer.connection.ack.called and not Received.objects.exists()

def gives_up_at_the_first_exception():
    def callback(payload):
        raise ConnectionError("the other service restarts")
    consumer = a_consumer(callback)
    consumer.message_handler("{}", HEADERS)
    return consumer.connection.nack.call_count == 1

def writes_into_the_settings_of_all():
    consumer = a_consumer(lambda payload: None)
    consumer._create_queue("/topic/a", consumer.subscribe_headers, "billing")
    return settings.DEFAULT_STOMP_QUEUE_HEADERS.get("x-queue-name") == "billing"

def freezes_its_settings():
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_WAIT_RETRY": 1}):
        return settings.DEFAULT_WAIT_RETRY == 60

def makes_a_connection_when_a_command_is_imported():
    with patch("stomp.StompConnection12") as connection:
        import django_outbox_pattern.management.commands.publish
    return connection.called

found = {}
for name in NAMES:
    Published.objects.all().delete()
    Received.objects.all().delete()
    try:
        found[name] = bool(globals()[name]())
    except Exception as error:
        found[name] = repr(error)
print(json.dumps(found))
"""
# The row of docs/comparison.md, and the probe that shows it.
SHOWN = {
    "marks_as_sent_what_nobody_confirmed": 1,
    "sends_transient_messages": 2,
    "dies_of_a_broken_pipe_and_forgets_what_it_sent": 3,
    "never_sends_what_waited_a_day": 6,
    "deletes_what_was_not_sent": 7,
    "makes_headers_anew_with_each_save": 9,
    "leaves_headers_out_of_bulk_create": 10,
    "drops_the_save_of_a_model": 11,
    "never_ends_on_a_subclass": 11,
    "dies_of_a_message_before_its_subscription": 13,
    "drops_the_message_of_the_second_queue": 16,
    "refuses_a_message_whose_twin_was_quicker": 17,
    "takes_an_id_that_is_new_in_each_delivery": 18,
    "leaves_a_message_unsettled_for_ever": 19,
    "acknowledges_a_save_that_was_rolled_back": 20,
    "gives_up_at_the_first_exception": 21,
    "writes_into_the_settings_of_all": 25,
    "freezes_its_settings": 30,
    "makes_a_connection_when_a_command_is_imported": 30,
}


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool | str]:
    """What each probe saw, in a process of the peer's own."""
    installed(LAST)
    folder: Path = tmp_path_factory.mktemp("probes")
    peer = Peer(LAST, {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "database.sqlite3")}, folder)
    peer.migrate()
    printed = peer.python(PROBES.replace("NAMES", repr(list(SHOWN))))
    found: dict[str, bool | str] = json.loads(printed.splitlines()[-1])
    return found


@pytest.mark.parametrize("probe", SHOWN)
def test_the_peer(observed: dict[str, bool | str], probe: str) -> None:
    assert observed[probe] is True, f"row {SHOWN[probe]} of docs/comparison.md: {observed[probe]}"
