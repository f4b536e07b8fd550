"""What each broker is told, by the names they give themselves."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_outbox import waiting
from django_outbox.dialects import ActiveMQ, Artemis, Dialect, RabbitMQ, dialect_of
from django_outbox.exceptions import ConfigurationError
from django_outbox.subscription import Subscription

TOPIC, QUEUE = "/topic/orders.v1", "/queue/orders"
HEADERS = {
    "durable": "true",
    "auto-delete": "false",
    "prefetch-count": "1",
    "exclusive": False,
    "x-queue-name": "billing",
    "x-dead-letter-routing-key": "DLQ.billing",
    "x-dead-letter-exchange": "",
}


def test_a_broker_is_known_by_what_it_says_when_it_accepts_a_login() -> None:
    said = {
        "RabbitMQ/3.10.8": RabbitMQ,
        "ActiveMQ/5.17.2": ActiveMQ,
        "ActiveMQ-Artemis/2.31.2 ActiveMQ Artemis Messaging Engine": Artemis,
        "apache-activemq-artemis/2.40.0": Artemis,
        "Mosaic/1": Dialect,
        "": Dialect,
        None: Dialect,
    }
    assert {server: type(dialect_of(server)) for server in said} == said


def test_rabbitmq_is_told_the_declaration_and_nothing_else() -> None:
    rabbit = RabbitMQ()
    with override_settings(DJANGO_OUTBOX_PATTERN={}):
        declared = Subscription.create(print, TOPIC, "billing").headers()
    assert rabbit.subscribe_headers(TOPIC, "billing", declared) == declared
    assert list(rabbit.subscribe_headers(TOPIC, "billing", declared)) == list(declared)
    assert rabbit.subscribe_destination(TOPIC, "billing") == TOPIC
    assert rabbit.send_headers(TOPIC) == {}


def test_a_queue_of_rabbitmq_is_addressed_without_declaring_it() -> None:
    rabbit = RabbitMQ()
    assert rabbit.queue("a/b") == "/amq/queue/a%2Fb"
    assert rabbit.dead_letter_destination("billing") == "/amq/queue/DLQ.billing"


@pytest.mark.parametrize(
    ("destination", "source"),
    [(TOPIC, "billing"), (QUEUE, "orders"), ("/amq/queue/a%2Fb", "a/b"), ("/exchange/events/key", "billing")],
)
def test_a_subscription_of_rabbitmq_to_a_queue_reads_that_queue(destination: str, source: str) -> None:
    assert RabbitMQ().source(destination, "billing") == source


@pytest.mark.parametrize(
    ("seconds", "length"),
    [(0, 2), (0.1, 2), (2, 2), (2.1, 15), (10, 15), (60, 60), (300, 300), (1800, 300), (1e9, 300)],
)
def test_a_message_waits_in_the_shortest_queue_of_rabbitmq_that_is_long_enough(seconds: float, length: int) -> None:
    destination, headers = RabbitMQ().delayed("billing", seconds)
    assert destination == f"/queue/RETRY.billing.{length}s"
    assert headers == {
        "durable": "true",
        "auto-delete": "false",
        "exclusive": "false",
        "x-message-ttl": f"{length + 3600}000",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "billing",
    }


def test_subscribers_watch_every_queue_that_a_message_can_wait_in() -> None:
    quorum = {"x-queue-type": "quorum", "prefetch-count": "1"}
    watched = RabbitMQ().waiting_queues("a/b", quorum)
    assert list(watched) == [f"/queue/RETRY.a%2Fb.{length}s" for length in (2, 15, 60, 300)]
    assert dict(RabbitMQ().delayed("a/b", seconds, quorum) for seconds in (1, 10, 20, 86400)) == watched
    assert {headers["x-queue-type"] for headers in watched.values()} == {"quorum"}
    assert [ActiveMQ().waiting_queues("a"), Artemis().waiting_queues("a"), Dialect().waiting_queues("a")] == [{}] * 3


def test_no_queue_has_a_message_held_for_nearly_as_long_as_rabbitmq_lets_it_be() -> None:
    consumer_timeout = 15 * 60  # of RabbitMQ 3.8.15; half an hour since 3.8.17
    assert max(waiting.LENGTHS) <= consumer_timeout / 2


def test_a_virtual_topic_of_activemq_is_read_through_the_workers_queue() -> None:
    destination = ActiveMQ().subscribe_destination("/topic/VirtualTopic.orders.v1", "billing.eu")
    assert destination == "/queue/Consumer.billing%2Eeu.VirtualTopic.orders.v1"


def test_a_plain_topic_of_activemq_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ActiveMQ().subscribe_destination(TOPIC, "billing")
    assert "/topic/VirtualTopic.orders.v1" in str(caught.value)
    assert "/queue/Consumer.billing.orders.v1" in str(caught.value)


def test_activemq_is_told_the_prefetch_in_its_own_words() -> None:
    headers = ActiveMQ().subscribe_headers(QUEUE, "orders", HEADERS | {"exclusive": True, "selector": "a = 1"})
    assert headers == {"activemq.prefetchSize": "1", "activemq.exclusive": "true", "selector": "a = 1"}


def test_activemq_delays_with_its_scheduler() -> None:
    activemq = ActiveMQ()
    source = activemq.source("/topic/VirtualTopic.orders", "billing")
    assert activemq.delayed(source, 1.5) == (
        "/queue/Consumer.billing.VirtualTopic.orders",
        {"AMQ_SCHEDULED_DELAY": "1500"},
    )
    assert activemq.dead_letter_destination("billing") == "/queue/DLQ.billing"


def test_a_topic_of_artemis_is_read_through_a_queue_on_its_address() -> None:
    artemis = Artemis()
    assert artemis.subscribe_destination(TOPIC, "billing") == "/topic/orders.v1::billing"
    assert artemis.subscribe_destination(QUEUE, "billing") == QUEUE
    assert artemis.subscribe_headers(TOPIC, "billing", HEADERS) == {
        "consumer-window-size": "0",
        "subscription-type": "MULTICAST",
    }


def test_artemis_counts_prefetch_in_bytes_and_the_project_may_say_how_many() -> None:
    artemis = Artemis()
    headers = artemis.subscribe_headers(QUEUE, "orders", HEADERS | {"prefetch-count": "100"})
    assert headers == {"consumer-window-size": "102400", "subscription-type": "ANYCAST"}
    own = artemis.subscribe_headers(QUEUE, "orders", HEADERS | {"consumer-window-size": "7"})
    assert own["consumer-window-size"] == "7"


def test_artemis_is_told_on_each_send_what_it_is_sent_to() -> None:
    artemis = Artemis()
    assert artemis.send_headers(TOPIC) == {"destination-type": "MULTICAST"}
    assert artemis.send_headers(QUEUE) == {"destination-type": "ANYCAST"}
    assert artemis.send_headers("orders") == {}


def test_a_delayed_message_of_artemis_goes_to_the_one_queue_of_the_topic() -> None:
    artemis = Artemis()
    assert artemis.delayed(artemis.source(TOPIC, "billing"), 2) == (
        "/topic/orders.v1::billing",
        {"destination-type": "MULTICAST", "AMQ_SCHEDULED_DELAY": "2000"},
    )
    assert artemis.delayed("orders", 2)[0] == "/queue/orders"


def test_only_artemis_and_the_unknown_lose_what_is_refused() -> None:
    assert [dialect.nack_keeps for dialect in (RabbitMQ(), ActiveMQ(), Artemis(), Dialect())] == [
        True,
        True,
        False,
        False,
    ]


def test_an_unknown_broker_cannot_delay_and_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="CONSUMER_RETRY_DELAYS"):
        Dialect().delayed("orders", 1)


@pytest.mark.parametrize("prefetch", [None, "", "many", "0", "-3"])
def test_a_prefetch_that_is_none_is_one(prefetch: str | None) -> None:
    headers = ActiveMQ().subscribe_headers(QUEUE, "orders", {"prefetch-count": prefetch})
    assert headers == {"activemq.prefetchSize": "1"}
