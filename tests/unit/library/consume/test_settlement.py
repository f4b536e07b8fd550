"""What the broker is told of a message that failed, whatever becomes of the copy."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings
from prometheus_client import REGISTRY

from django_outbox.dialects import Artemis, Dialect, RabbitMQ
from django_outbox.exceptions import BrokerUnavailable, SubscriptionRefused
from django_outbox.forwarding import Forwarder
from django_outbox.link import Delivery
from django_outbox.processing import Ending, Outcome
from django_outbox.settlement import Settler
from django_outbox.story import Failure
from django_outbox.subscription import Subscription
from django_outbox.transport.base import SendReport, Unsettled
from tests.unit.library.consume.doubles import headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_outbox.transport.base import Outgoing, Patience

pytestmark = pytest.mark.usefixtures("delays")
FAILED = Ending(Outcome.ERROR, Failure("ValueError: no"))
REFUSED = Ending(Outcome.NACK, Failure("refused", final=True))


@dataclass(eq=False)
class FakeLink:
    """A link that remembers how its deliveries were settled."""

    connected: bool = True
    settled: list[str] = field(default_factory=list)
    generation: int = 1

    def is_connected(self) -> bool:
        return self.connected

    def ack(self, _delivery: Delivery) -> bool:
        self.settled += ["ACK"] if self.connected else []
        return self.connected

    def ack_all(self, deliveries: Sequence[Delivery]) -> bool:
        return all(self.ack(delivery) for delivery in deliveries)

    def nack(self, _delivery: Delivery) -> bool:
        self.settled += ["NACK"] if self.connected else []
        return self.connected


@dataclass
class Wire:
    """A connection that answers as it is told to, one answer for each send; then it confirms."""

    answers: list[SendReport] = field(default_factory=list)
    dialect: Dialect = field(default_factory=RabbitMQ)
    is_down: bool = False
    connects: int = 0
    sent: list[Outgoing] = field(default_factory=list)
    open: bool = False
    keeps_open: bool = True

    def is_connected(self) -> bool:
        return self.open

    def connect(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("The broker is away.")
        self.connects += 1
        self.open = True

    def send(self, messages: Sequence[Outgoing], patience: Patience) -> SendReport:
        self.sent.extend(messages)
        self.open = self.keeps_open
        return self.answers.pop(0) if self.answers else SendReport(confirmed={m.key: 0.0 for m in messages})

    def close(self) -> None:
        self.open = False


class Desk:
    """A settler with everything round it."""

    def __init__(self, wire: Wire | None = None, **subscription: Any) -> None:
        self.wire = wire or Wire()
        self.link = FakeLink()
        self.declared: list[int] = []
        self.subscription = Subscription(lambda _payload: None, "/topic/orders", "desk", **subscription)
        self.woken: list[int] = []
        self.forwarder = Forwarder(self.subscription, self._declare, self.wire, lambda: self.woken.append(1))
        self.settler = Settler(self.subscription, self.forwarder)

    def settle(self, ending: Ending, raw: bytes | None = None, **given: str) -> None:
        delivery = Delivery("{}", headers(**given), self.link, raw)  # type: ignore[arg-type]
        self.settler.settle_all([(delivery, ending)])

    def _declare(self) -> None:
        self.declared.append(1)


@pytest.fixture
def delays() -> Any:
    """Two delays, as a project may set them."""
    with override_settings(DJANGO_OUTBOX_PATTERN={"CONSUMER_RETRY_DELAYS": [10, 60]}):
        yield


def _count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"queue": "desk", **labels}) or 0.0


def test_a_failed_message_is_copied_to_its_retry_queue_and_then_acknowledged() -> None:
    desk, before = Desk(), _count("outbox_retried_messages_total")
    desk.settle(FAILED, dop_msg_id="m-1")
    (copy,) = desk.wire.sent
    assert copy.destination == "/queue/RETRY.desk.15s"
    assert (copy.headers["dop-msg-id"], copy.headers["dop-attempts"]) == ("m-1", "1")
    assert copy.headers["x-dead-letter-routing-key"] == "desk"
    due = datetime.fromisoformat(copy.headers["dop-due"]) - datetime.now(UTC)
    assert 0 < due.total_seconds() <= 10
    assert desk.link.settled == ["ACK"]
    assert desk.woken == [1]
    assert _count("outbox_retried_messages_total") == before + 1


def test_after_the_last_delay_it_goes_to_the_dead_letters() -> None:
    desk, before = Desk(), _count("outbox_dead_lettered_messages_total")
    desk.settle(FAILED, dop_attempts="2")
    assert [copy.destination for copy in desk.wire.sent] == ["/amq/queue/DLQ.desk"]
    assert desk.wire.sent[0].headers["dop-attempts"] == "3"
    assert desk.link.settled == ["ACK"]
    assert _count("outbox_dead_lettered_messages_total") == before + 1


def test_a_body_that_is_no_text_is_copied_byte_by_byte() -> None:
    desk = Desk()
    desk.settle(FAILED, raw=b"\xff\x00")
    assert desk.wire.sent[0].body == b"\xff\x00"


@pytest.mark.parametrize(
    ("ending", "answers"),
    [
        (FAILED, [Unsettled.TIMEOUT]),
        (REFUSED, [Unsettled.TIMEOUT]),
        (REFUSED, [Unsettled.CONNECTION_LOST]),
        (FAILED, [Unsettled.CONNECTION_LOST, Unsettled.TIMEOUT]),
    ],
)
def test_a_copy_without_a_confirm_has_the_original_refused(ending: Ending, answers: list[Unsettled]) -> None:
    desk = Desk(Wire(answers=[SendReport(unsettled=why, detail="no confirm") for why in answers]))
    before = _count("outbox_dead_lettered_messages_total")
    # Each lost connection is closed by the transport.
    desk.wire.keeps_open = False
    desk.settle(ending)
    assert desk.link.settled == ["NACK"]
    assert _count("outbox_dead_lettered_messages_total") == before + 1


def test_a_retry_that_the_broker_refuses_makes_a_dead_letter_with_its_story() -> None:
    desk = Desk(Wire(answers=[SendReport(unsettled=Unsettled.CONNECTION_LOST, detail="PRECONDITION_FAILED")]))
    desk.wire.keeps_open = False
    desk.settle(FAILED)
    assert [copy.destination for copy in desk.wire.sent] == ["/queue/RETRY.desk.15s", "/amq/queue/DLQ.desk"]
    assert desk.link.settled == ["ACK"]


def test_a_broker_that_knows_no_delays_makes_a_dead_letter_at_once() -> None:
    desk = Desk(Wire(dialect=Dialect()))
    desk.settle(FAILED)
    assert [copy.destination for copy in desk.wire.sent] == ["/queue/DLQ.desk"]
    assert desk.link.settled == ["ACK"]


def test_a_broker_that_takes_no_connection_has_the_original_refused() -> None:
    desk = Desk(Wire(is_down=True))
    desk.settle(FAILED)
    assert (desk.wire.sent, desk.link.settled) == ([], ["NACK"])


def test_a_dead_letter_queue_that_cannot_be_declared_has_the_original_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise SubscriptionRefused("ACCESS_REFUSED")

    desk = Desk()
    monkeypatch.setattr(desk.forwarder, "_declare", refuse)
    desk.settle(REFUSED)
    assert (desk.wire.sent, desk.link.settled) == ([], ["NACK"])


def test_a_connection_that_ended_unnoticed_is_opened_anew_once() -> None:
    desk = Desk()
    desk.settle(FAILED)
    desk.wire.answers = [SendReport(unsettled=Unsettled.CONNECTION_LOST)]
    desk.settle(FAILED)
    assert desk.wire.connects == 1
    assert desk.link.settled == ["ACK", "ACK"]
    assert len(desk.wire.sent) == 3


def test_a_message_of_a_lost_link_is_not_copied_as_it_comes_again_by_itself() -> None:
    desk = Desk()
    desk.link.connected = False
    desk.settle(FAILED)
    assert (desk.wire.sent, desk.link.settled) == ([], [])


def test_a_queue_that_goes_with_its_connection_has_no_retries() -> None:
    desk = Desk(queue_headers={"auto-delete": "true"})
    desk.settle(FAILED)
    assert [copy.destination for copy in desk.wire.sent] == ["/amq/queue/DLQ.desk"]


def test_the_dead_letter_queue_is_seen_to_before_the_first_dead_letter_and_not_before_each() -> None:
    desk = Desk()
    desk.settle(FAILED)
    assert desk.declared == []
    desk.settle(REFUSED)
    desk.settle(REFUSED)
    assert desk.declared == [1]


def test_one_connection_serves_many_and_an_idle_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.settle(FAILED)
    desk.settle(FAILED)
    desk.forwarder.tend()
    assert (desk.wire.connects, desk.wire.open) == (1, True)
    monkeypatch.setattr("django_outbox.forwarding.IDLE_SECONDS", 0.0)
    desk.forwarder.tend()
    assert not desk.wire.open


def test_a_connection_is_not_kept_for_longer_than_a_deleted_queue_may_go_unnoticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    desk.settle(FAILED)
    monkeypatch.setattr("django_outbox.forwarding.LONGEST_LIFE_SECONDS", 0.0)
    desk.settle(FAILED)
    assert desk.wire.connects == 2


def test_a_header_that_no_frame_can_say_is_left_out_of_the_copy() -> None:
    desk = Desk()
    delivery = Delivery("{}", {**headers(), "a:b": "c", "color": "blue"}, desk.link)  # type: ignore[arg-type]
    desk.settler.settle_all([(delivery, FAILED)])
    assert "a:b" not in desk.wire.sent[0].headers
    assert desk.wire.sent[0].headers["color"] == "blue"


def test_the_copy_goes_where_the_broker_wants_it() -> None:
    desk = Desk(Wire(dialect=Artemis()))
    desk.settle(FAILED)
    desk.settle(REFUSED)
    assert [copy.destination for copy in desk.wire.sent] == ["/topic/orders::desk", "/queue/DLQ.desk"]
    assert desk.wire.sent[0].headers["AMQ_SCHEDULED_DELAY"] == "10000"
    assert "dop-due" not in desk.wire.sent[0].headers
    assert desk.wire.sent[1].headers["destination-type"] == "ANYCAST"


@pytest.mark.parametrize("outcome", [Outcome.ACK, Outcome.DUPLICATE])
def test_what_took_effect_is_acknowledged(outcome: Outcome) -> None:
    desk, before = Desk(), _count("outbox_received_messages_total", result=outcome.value)
    desk.settle(Ending(outcome))
    assert (desk.wire.sent, desk.link.settled) == ([], ["ACK"])
    assert _count("outbox_received_messages_total", result=outcome.value) == before + 1


def test_what_is_left_is_not_settled() -> None:
    desk = Desk()
    desk.settle(Ending(Outcome.LEFT))
    assert desk.link.settled == []
