"""Every example of django-outbox-pattern's own documentation does what is written beside it, under either name."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.worker import MANAGE, REPOSITORY
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue

IMPORTS = """
from django.db import connection, models, transaction
from {name}.decorators import Config
from {name}.decorators import publish
from {name}.models import Published
"""
MODEL = """
class MyModel(models.Model):
    field_one = models.CharField(max_length=100)
    field_two = models.CharField(max_length=100)
    class Meta:
        app_label = "events"
"""
SAVE = """
with connection.schema_editor() as editor:
    editor.create_model(MyModel)
MyModel.objects.create(field_one="One", field_two="Two")
print([(row.destination, row.body, row.version) for row in Published.objects.order_by("id")])
"""
SERIALIZERS = """
    def my_serializer_1(self):
        return { "id": self.id, "one": self.field_one, }
    def my_serializer_2(self):
        return { "id": self.id, "two": self.field_two }
"""
ROUTE = "/topic/my_route_key"


@pytest.fixture(params=["django_outbox", "django_outbox_pattern"])
def named(request: pytest.FixtureRequest, project: Project) -> Project:
    """The project with the app installed, and imported, under one name, then the other."""
    project.app = request.param
    return project


def _saved(project: Project, decorator: str, methods: str = "") -> Any:
    """Decorate the documentation's model, save one, and return the messages."""
    code = IMPORTS.format(name=project.app) + decorator + MODEL + methods + SAVE
    return ast.literal_eval(project.python(code))


def test_only_destination_in_config(named: Project) -> None:
    messages = _saved(named, "@publish([Config(destination='/topic/my_route_key')])")
    assert messages == [(ROUTE, {"id": 1, "field_one": "One", "field_two": "Two"}, None)]


def test_change_destination_version_in_config(named: Project) -> None:
    messages = _saved(named, """@publish([Config(destination='/topic/my_route_key', version="v1")])""")
    assert messages == [(f"{ROUTE}.v1", {"id": 1, "field_one": "One", "field_two": "Two"}, "v1")]


def test_with_destinations_and_fields(named: Project) -> None:
    messages = _saved(named, """@publish([Config(destination='/topic/my_route_key', fields=["field_one"])])""")
    assert messages == [(ROUTE, {"id": 1, "field_one": "One"}, None)]


def test_with_destinations_and_serializer(named: Project) -> None:
    decorator = "@publish([Config(destination='/topic/my_route_key', serializer='my_serializer_1')])"
    assert _saved(named, decorator, SERIALIZERS) == [(ROUTE, {"id": 1, "one": "One"}, None)]


def test_with_multi_destinations_and_serializers(named: Project) -> None:
    decorator = """@publish([
        Config(destination='/topic/my_route_key_1', serializer="my_serializer_1"),
        Config(destination='/topic/my_route_key_2', serializer="my_serializer_2"),
    ])"""
    assert _saved(named, decorator, SERIALIZERS) == [
        (f"{ROUTE}_1", {"id": 1, "one": "One"}, None),
        (f"{ROUTE}_2", {"id": 1, "two": "Two"}, None),
    ]


def test_publish_message_via_outbox_and_the_publish_command(named: Project, queue: Queue) -> None:
    named.python(
        IMPORTS.format(name=named.app)
        + f"""
from tests.django_project.events.models import Author as YourBusinessModel
def custom_business_logic() -> None:
    with transaction.atomic():
        YourBusinessModel.objects.create()
        Published.objects.create(destination="{queue.destination}", body={{"some": "data"}})
custom_business_logic()
"""
    )
    named.publish().wait_sent(1)
    [message] = queue.take()
    assert message["payload"] == '{"some": "data"}'
    assert message["properties"]["delivery_mode"] == 2
    assert message["properties"]["headers"]["dop-msg-destination"] == queue.destination


def test_publish_message_directly(named: Project, queue: Queue) -> None:
    printed = named.python(
        f"""
from {named.app}.factories import factory_producer
def send_event(destination, body, headers):
    with factory_producer() as producer:
        return producer.send_event(destination=destination, body=body, headers=headers)
print(send_event("{queue.destination}", {{"some": "data"}}, {{"tenant": "a"}}))
"""
    )
    assert printed.strip() == "0"
    [message] = queue.take()
    assert (message["payload"], message["properties"]["headers"]["tenant"]) == ('{"some": "data"}', "a")
    assert message["properties"]["delivery_mode"] == 2


CALLBACK = """
from django.db import transaction
from {name}.payloads import Payload
from tests.django_project.events.models import Author

def message_is_invalid(body):
    return body.get("invalid", False)

def callback(payload: Payload):
    if message_is_invalid(payload.body):
        payload.nack()
        return
    with transaction.atomic():
        Author.objects.create(name=payload.body["name"])
        payload.save()
"""


@pytest.fixture
def subscriber(named: Project, queue: Queue, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The documentation's callback, subscribed to a topic by the documentation's command."""
    (tmp_path / "seed_callbacks.py").write_text(CALLBACK.format(name=named.app))
    environment = named.environment()
    environment["PYTHONPATH"] = f"{tmp_path}:{REPOSITORY}"
    command = [sys.executable, "-m", MANAGE, "subscribe", "seed_callbacks.callback"]
    names = [f"/topic/{queue.name}.topic", f"{queue.name}.sub"]
    with (tmp_path / "subscribe.log").open("wb") as log:
        process = subprocess.Popen([*command, *names], cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
    yield process
    if process.poll() is None:
        process.kill()
        process.wait(10)
    for name in (f"{queue.name}.sub", f"DLQ.{queue.name}.sub"):
        named.broker.delete_queue(name)


def test_subscribe_command(named: Project, queue: Queue, subscriber: subprocess.Popen[bytes], tmp_path: Path) -> None:
    name = f"{queue.name}.sub"

    def evidence() -> str:
        return (tmp_path / "subscribe.log").read_text()

    def subscribed() -> bool:
        found = named.broker.count(name)
        return found is not None and found.consumers == 1

    wait_until("the subscription", subscribed, seconds=40, state=evidence)
    bodies = [{"name": "one"}, {"invalid": True}, {"name": "two"}]
    code = f"""
from {named.app}.models import Published
for body in {bodies!r}:
    Published.objects.create(destination="/topic/{queue.name}.topic", body=body)
"""
    named.python(code)
    named.publish().wait_sent(3)
    written = "SELECT name FROM events_author ORDER BY id"
    wait_until("both rows", lambda: len(named.database.rows(written)) == 2, seconds=30, state=evidence)
    assert named.database.rows(written) == [("one",), ("two",)]
    assert named.broker.queue_depth(name) == 0
    subscriber.send_signal(signal.SIGTERM)
    assert subscriber.wait(30) == 0, evidence()
