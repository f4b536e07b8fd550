"""What dead letters tell, which are meant, what a replay of one looks like, and when one is removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from django_outbox import deadletters, story
from django_outbox.deadletters import DeadLetter, Drawer, Reach, Replay, Wanted, replayed, source_of
from django_outbox.dialects import ActiveMQ, Artemis, Dialect, RabbitMQ
from django_outbox.exceptions import BrokerUnavailable, ConfigurationError, SubscriptionRefused
from django_outbox.link import Delivery
from django_outbox.transport.base import SendReport, Unsettled
from tests.unit.library.commands.running import outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django_outbox.transport.base import Outgoing, Patience

STORY = {
    "dop-msg-id": "m-1",
    "dop-error": "ValueError: no such order",
    "dop-attempts": "5",
    "dop-failed-at": "2026-01-02T03:04:05+00:00",
    "dop-queue": "billing",
    "dop-destination": "/topic/orders",
}


@dataclass
class FakeLink:
    """A link whose broker hands over what ``waiting`` holds, and remembers what was acknowledged."""

    deliver: Callable[[Delivery], None]
    waiting: Sequence[Mapping[str, str]] = ()
    refusal: Exception | None = None
    dialect: Dialect = field(default_factory=RabbitMQ)
    subscribed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    acked: list[str] = field(default_factory=list)
    failure: str | None = None
    closed: bool = False

    def open(self) -> None:
        pass

    def subscribe(self, destination: str, headers: Mapping[str, Any]) -> None:
        self.subscribed.append((destination, dict(headers)))
        if self.refusal is not None:
            raise self.refusal
        prefetch = int(headers.get("prefetch-count", 10**6))
        for headers_of_one in self.waiting[:prefetch]:
            self.deliver(Delivery('{"a": 1}', headers_of_one, self))  # type: ignore[arg-type]

    def is_connected(self) -> bool:
        return self.failure is None

    def ack(self, delivery: Delivery) -> bool:
        if self.failure is None:
            self.acked.append(delivery.headers["dop-msg-id"])
        return self.failure is None

    def close(self) -> None:
        self.closed = True


@dataclass
class Wire:
    """A transport that confirms all but what it is told to refuse or leave open."""

    refuses: set[str] = field(default_factory=set)
    leaves: set[str] = field(default_factory=set)
    dialect: Dialect = field(default_factory=RabbitMQ)
    sent: list[Outgoing] = field(default_factory=list)
    closed: bool = False

    def connect(self) -> None:
        pass

    def send(self, messages: Sequence[Outgoing], patience: Patience) -> SendReport:
        report = SendReport()
        for message in messages:
            self.sent.append(message)
            if message.headers["dop-msg-id"] in self.refuses:
                report.refused[message.key] = "no"
            elif message.headers["dop-msg-id"] in self.leaves:
                report.unsettled = Unsettled.TIMEOUT
            else:
                report.confirmed[message.key] = 0.1
        return report

    def close(self) -> None:
        self.closed = True


class Desk:
    """A drawer on a fake link."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.links: list[FakeLink] = []
        self.prepare: dict[str, Any] = {}
        monkeypatch.setattr(deadletters, "Link", self._link)
        self.there: set[str] = {"billing"}
        monkeypatch.setattr(deadletters, "queue_is_there", lambda name: name in self.there)

    def _link(self, deliver: Callable[[Delivery], None]) -> FakeLink:
        self.links.append(FakeLink(deliver, **self.prepare))
        return self.links[-1]

    def waits(self, *ids: str, **more: Any) -> None:
        """Let these letters wait in the queue."""
        self.prepare = {"waiting": [STORY | {"dop-msg-id": message_id} for message_id in ids], **more}

    @property
    def link(self) -> FakeLink:
        """The last link."""
        return self.links[-1]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Drawers get fake links."""
    return Desk(monkeypatch)


def _letter(**headers: str) -> DeadLetter:
    return DeadLetter.of(Delivery("{}", headers, None), "billing")  # type: ignore[arg-type]


def _told(**more: str) -> DeadLetter:
    return _letter(**STORY, **{name.replace("_", "-"): value for name, value in more.items()})


NO_WAIT = Reach(quiet=0.05)


def test_a_letter_tells_its_story() -> None:
    letter = _told()
    assert (letter.message_id, letter.error, letter.attempts) == ("m-1", "ValueError: no such order", 5)
    assert letter.failed_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (letter.destination, letter.queue) == ("/topic/orders", "billing")


def test_a_letter_without_a_story_tells_what_it_has() -> None:
    headers = {"cap-msg-id": "c-1", "dop-msg-sent-time": "2026-01-02T03:04:05", "dop-msg-destination": "/topic/x"}
    letter = _letter(**headers)
    assert (letter.message_id, letter.error, letter.attempts) == ("c-1", None, None)
    assert letter.failed_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert letter.destination == "/topic/x"
    nothing = _letter(**{"dop-failed-at": "yesterday", "dop-attempts": "many", "x-delivery-count": "?"})
    assert (nothing.message_id, nothing.failed_at, nothing.attempts, nothing.returned) == (None, None, None, 0)


def test_a_letter_shows_neither_body_nor_headers_in_its_repr() -> None:
    letter = DeadLetter.of(Delivery("secret-body", {"token": "secret-header"}, None), "q")  # type: ignore[arg-type]
    assert "secret" not in repr(letter)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(), True),
        (Wanted(ids=("m-2", "m-1")), True),
        (Wanted(ids=("m-2",)), False),
        (Wanted(error="valueERROR"), True),
        (Wanted(error="OSError"), False),
        (Wanted(older_than=3600), True),
        (Wanted(older_than=7201), False),
        (Wanted(ids=("m-1",), error="OSError"), False),
    ],
)
def test_a_letter_fits_when_every_criterion_does(wanted: Wanted, fits: bool) -> None:
    assert wanted.fits(_told(), datetime(2026, 1, 2, 5, 4, 5, tzinfo=UTC)) is fits


def test_a_letter_that_does_not_tell_its_time_is_older_than_nothing() -> None:
    assert not Wanted(older_than=0).fits(_letter(), datetime.now(UTC))


@pytest.mark.parametrize(
    ("headers", "dialect", "source"),
    [
        (STORY, RabbitMQ(), "billing"),
        (STORY | {"dop-destination": "/queue/orders"}, RabbitMQ(), "orders"),
        (STORY | {"x-first-death-queue": "RETRY.billing.15s"}, RabbitMQ(), "billing"),
        ({"x-first-death-queue": "refused-in"}, RabbitMQ(), "refused-in"),
        ({"x-first-death-queue": "RETRY.billing.15s"}, RabbitMQ(), "billing"),
        ({}, RabbitMQ(), "billing"),
        (STORY, Artemis(), "/topic/orders::billing"),
        (STORY | {"dop-destination": "/topic/VirtualTopic.o"}, ActiveMQ(), "Consumer.billing.VirtualTopic.o"),
    ],
)
def test_a_replay_goes_to_the_queue_that_the_letter_was_in(
    headers: dict[str, str], dialect: Dialect, source: str
) -> None:
    assert source_of(_letter(**headers), dialect) == source


def test_a_replay_keeps_the_message_and_leaves_its_story_out() -> None:
    letter = _told(
        colour="blue", message_id="T_1", ack="T_1", subscription="1", x_first_death_queue="q", redelivered="true"
    )
    message = replayed(letter, "billing", RabbitMQ())
    assert message.destination == "/amq/queue/billing"
    assert message.headers == {
        "dop-msg-id": "m-1",
        "colour": "blue",
        "dop-destination": "/topic/orders",
        "persistent": "true",
    }
    assert message.body == "{}"


def test_a_replayed_message_shows_where_it_first_came_from() -> None:
    message = replayed(_told(), "billing", RabbitMQ())
    received = {**message.headers, "destination": "/queue/billing"}
    assert story.as_first_received(received)["destination"] == "/topic/orders"
    assert story.attempts_of(received) == 0


def test_a_drawer_holds_as_many_as_it_may_and_gives_them_back(desk: Desk) -> None:
    desk.waits("m-1", "m-2", "m-3")
    with Drawer("billing") as drawer:
        letters = drawer.look(Wanted(), Reach(limit=2, quiet=0.05))
    assert [letter.message_id for letter in letters] == ["m-1", "m-2"]
    assert drawer.more
    assert desk.link.subscribed == [("/amq/queue/DLQ.billing", {"prefetch-count": "2"})]
    assert desk.link.closed
    assert desk.link.acked == []
    assert letters[0].body is None


def test_a_drawer_that_looks_for_some_looks_at_all(desk: Desk) -> None:
    desk.waits("m-1", "m-2", "m-3")
    with Drawer("DLQ.billing") as drawer:
        (letter,) = drawer.look(Wanted(ids=("m-3",)), Reach(scan=500, quiet=0.05, bodies=True))
    assert (letter.message_id, letter.body) == ("m-3", '{"a": 1}')
    assert (drawer.looked_at, drawer.more) == (3, False)
    assert desk.link.subscribed == [("/amq/queue/DLQ.billing", {"prefetch-count": "500"})]


def test_a_queue_that_does_not_exist_and_one_that_may_not_be_read_are_told_apart(desk: Desk) -> None:
    desk.waits(refusal=SubscriptionRefused("NOT_FOUND - no queue"))
    with Drawer("billing") as drawer, pytest.raises(ConfigurationError, match=r"no queue DLQ\.billing"):
        drawer.look(Wanted(), NO_WAIT)
    desk.waits(refusal=SubscriptionRefused("access refused"))
    with Drawer("billing") as drawer, pytest.raises(SubscriptionRefused):
        drawer.look(Wanted(), NO_WAIT)


def test_a_connection_that_is_lost_ends_the_look(desk: Desk) -> None:
    desk.waits(failure="the connection was lost")
    with Drawer("billing") as drawer, pytest.raises(BrokerUnavailable, match="back in their places"):
        drawer.look(Wanted(), Reach(quiet=60))


def test_a_letter_is_removed_only_when_its_copy_is_confirmed(desk: Desk) -> None:
    desk.waits("m-1", "m-2", "m-3")
    wire = Wire(refuses={"m-2"})
    with Drawer("billing") as drawer:
        replay = Replay(drawer, wire)  # type: ignore[arg-type]
        assert sum(replay.run(drawer.look(Wanted(), NO_WAIT))) == 2
    assert desk.link.acked == ["m-1", "m-3"]
    assert [(letter.message_id, why) for letter, why in replay.failures] == [("m-2", "no")]
    assert wire.closed


def test_an_unconfirmed_copy_ends_the_replay_and_leaves_its_letter(desk: Desk) -> None:
    desk.waits("m-1", "m-2")
    with Drawer("billing") as drawer:
        replay = Replay(drawer, Wire(leaves={"m-2"}))  # type: ignore[arg-type]
        with pytest.raises(BrokerUnavailable, match="may also have been sent"):
            list(replay.run(drawer.look(Wanted(), NO_WAIT)))
    assert desk.link.acked == ["m-1"]


def test_nothing_is_sent_to_a_queue_that_is_not_there(desk: Desk) -> None:
    desk.waits("m-1", "m-2")
    desk.there.clear()
    wire = Wire()
    with Drawer("billing") as drawer:
        replay = Replay(drawer, wire)  # type: ignore[arg-type]
        assert sum(replay.run(drawer.look(Wanted(), NO_WAIT))) == 0
    assert (wire.sent, desk.link.acked, len(replay.failures)) == ([], [], 2)


def test_a_letter_that_cannot_be_addressed_stays_and_says_why(desk: Desk) -> None:
    desk.waits("m-1")
    with Drawer("billing") as drawer:
        replay = Replay(drawer, Wire(dialect=ActiveMQ()))  # type: ignore[arg-type]
        list(replay.run(drawer.look(Wanted(), NO_WAIT)))
    assert "VirtualTopic" in replay.failures[0][1]


def test_the_list_is_for_people_by_default_and_warns_of_letters_looked_at_too_often(desk: Desk) -> None:
    desk.prepare = {"waiting": [STORY | {"x-delivery-count": "12"}, {"x-first-death-queue": "billing"}]}
    ended = outbox("dlq", "list", "billing", "--wait", "0s")
    assert ended.code == 2
    lines = ended.out.splitlines()
    assert lines[0].startswith("m-1  ")
    assert lines[0].endswith("old, failed 5 times, from /topic/orders")
    assert lines[1:] == [
        "  ValueError: no such order",
        "(no id)",
        "",
        "DLQ.billing: 2 dead letters of 2 looked at.",
    ]
    assert "12 times" in ended.err


def test_an_empty_list_ends_with_0(desk: Desk) -> None:
    ended = outbox("dlq", "list", "billing", "--wait", "0s", "--json")
    assert (ended.code, ended.document) == (0, {"queue": "billing", "looked_at": 0, "more": False, "letters": []})


def test_nobody_is_asked_where_nobody_can_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    desk.waits("m-1")
    ended = outbox("dlq", "purge", "billing", "--wait", "0s")
    assert ended.code == 1
    assert "give --yes" in ended.err
    assert desk.link.acked == []
    assert desk.link.closed


def test_a_purge_acknowledges_what_fits(desk: Desk) -> None:
    desk.waits("m-1", "m-2")
    ended = outbox("dlq", "purge", "billing", "--wait", "0s", "--id", "m-2", "--yes", "--json")
    assert (ended.code, ended.document["removed"], desk.link.acked) == (0, 1, ["m-2"])


@pytest.mark.parametrize("deed", ["replay", "purge"])
def test_a_dry_run_only_counts(desk: Desk, deed: str) -> None:
    desk.waits("m-1", "m-2")
    ended = outbox("dlq", deed, "billing", "--wait", "0s", "--dry-run")
    assert ended.code == 0
    assert "2 dead letters would be" in ended.out
    assert desk.link.acked == []


def test_a_broker_that_is_away_and_one_that_says_no_end_differently(desk: Desk) -> None:
    desk.waits(refusal=BrokerUnavailable("away"))
    assert outbox("dlq", "list", "billing").code == 3
    desk.waits(refusal=SubscriptionRefused("access refused"))
    assert outbox("dlq", "list", "billing").code == 1
