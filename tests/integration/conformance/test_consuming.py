"""The subscriber, in every place: what our publisher sends changes the database once, or becomes a dead letter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.conformance.places import BROKERS, conformance

if TYPE_CHECKING:
    from tests.integration.conformance.site import Site

# What a broker needs to look through a queue of some letters that are not the wanted ones.
WAIT = "--wait=20s"


@conformance("An event changes the consumer's database once; duplicates are acknowledged")
def test_an_event_takes_effect_once(site: Site) -> None:
    duplicates = site.received("duplicate")
    key = site.event("save")
    site.subscriber.wait_for("the effect", lambda: site.effects(key))
    headers = site.ask("Received.objects.get(msg_id=msg_id).headers", msg_id=site.msg_id)
    site.broker.events(site.topic).put(json.dumps({"key": key, "how": "save"}), dop_msg_id=site.msg_id)
    site.subscriber.wait_for("the duplicate", lambda: site.received("duplicate") == duplicates + 1)
    assert site.effects(key) == [f"1 from {site.origin}"]
    assert headers["dop-msg-id"] == site.msg_id
    assert site.ask("list(Received.objects.filter(msg_id=m).values_list('consumer', flat=True))", m=site.msg_id) == [
        site.name
    ]


@conformance("A subscriber that is killed in its callback is followed by one that takes effect once")
def test_a_killed_subscriber_is_followed(site: Site) -> None:
    name = f"{site.name}-gate"
    topic = site.broker.topic(name)
    (site.folder / "gate").unlink(missing_ok=True)
    first = site.subscribe("waits_for_gate", topic, name).wait_ready()
    key = site.event("save", topic)
    first.wait_for("the callback begins", lambda: first.began(key))
    first.kill()
    second = site.subscribe("waits_for_gate", topic, name).wait_ready()
    second.wait_for("the redelivery", lambda: second.began(key))
    second.open_gate()
    second.wait_for("the effect", lambda: site.effects(key))
    assert second.stop() == 0
    assert site.effects(key) == [""]


@conformance("Batch callbacks")
def test_batches_take_effect_in_one_transaction(site: Site) -> None:
    name = f"{site.name}-batch"
    topic = site.broker.topic(name)
    subscriber = site.subscribe("saves_batch", topic, name).wait_ready()
    key = site.event("save", topic, count=20)
    subscriber.wait_for("every effect", lambda: len(site.effects(key)) == 20)
    calls = subscriber.metric("outbox_callback_duration_seconds_count", queue=name)
    assert calls is not None
    assert 1 <= calls < 20, "some came together"
    assert subscriber.stop() == 0


# What it takes of a broker is what the others take. On PostgreSQL, see test_groups_take_effect_once.py.
@pytest.mark.parametrize("site", ["rabbitmq-mariadb", "rabbitmq-sqlite"], indirect=True, scope="session")
def test_messages_share_a_transaction(site: Site) -> None:
    name = f"{site.name}-group"
    topic = site.broker.topic(name)
    subscriber = site.subscribe("as_told", topic, name, "--group=20").wait_ready()
    saved, failing = site.event("save", topic, count=20), site.event("fail twice", topic, count=5)
    subscriber.wait_for("every effect", lambda: len(site.effects(saved)) == 20 and len(site.effects(failing)) == 5)
    assert subscriber.stop() == 0
    assert site.effects(saved) == [f"1 from {site.broker.origin(name)}"] * 20
    assert site.effects(failing) == [f"3 from {site.broker.origin(name)}"] * 5


@conformance("A message that fails comes again after a delay, which the broker keeps")
def test_a_failed_message_comes_again(site: Site) -> None:
    key = site.event("fail twice")
    site.subscriber.wait_for("the effect", lambda: site.effects(key))
    assert site.effects(key) == [f"3 from {site.origin}"]


@conformance("A message that goes on failing is a dead letter with its story")
def test_a_dead_letter_tells_its_story(site: Site) -> None:
    key = site.event("fail")
    letter = _letter(site)
    assert (letter["attempts"], letter["destination"]) == (3, site.origin)
    assert letter["error"] == f"ValueError: cannot handle {key}"
    assert site.effects(key) == []


@conformance("`outbox dlq list`, `replay` and `purge`")
def test_dead_letters_are_listed_replayed_and_purged(site: Site) -> None:
    key = site.event("fail until mended")
    replayed = site.msg_id
    _letter(site)
    site.event("fail")
    purged = site.msg_id
    _letter(site)
    (site.folder / f"mended-{key}").touch()
    done = site.dlq("replay", "--id", replayed, "--limit=1", WAIT)
    assert (done["replayed"], done["failures"]) == (1, [])
    site.subscriber.wait_for("the effect", lambda: site.effects(key))
    assert site.dlq("purge", "--id", purged, "--limit=1", "--yes", WAIT)["removed"] == 1
    assert site.letters(replayed) == site.letters(purged) == []


def _letter(site: Site) -> dict[str, Any]:
    """The dead letter of the last event, as `outbox dlq list` shows it."""
    [letter] = site.subscriber.wait_for("the dead letter", lambda: site.letters(site.msg_id))
    return dict(letter)


@conformance(
    "A topic keeps its events for a subscriber that is away",
    says={"activemq": "`VirtualTopic.*` only"} | {broker: "yes" for broker in BROKERS if broker != "activemq"},
)
def test_a_topic_keeps_events_for_who_is_away(site: Site) -> None:
    name = f"{site.name}-away"
    topic = site.broker.topic(name)
    assert site.subscribe("as_told", topic, name).wait_ready().stop() == 0
    key = site.event("save", topic)
    site.publisher.wait_for("it is sent", lambda: site.sent(topic) == 1)
    again = site.subscribe("as_told", topic, name).wait_ready()
    again.wait_for("the effect", lambda: site.effects(key))
    assert again.stop() == 0
    if forgetful := site.broker.forgetful_topic(name):
        refused = site.subscribe("as_told", forgetful, name)
        assert refused.wait_exit() == 1
        assert "VirtualTopic" in refused.text().strip().splitlines()[-1]
