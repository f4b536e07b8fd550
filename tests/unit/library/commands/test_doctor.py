"""What the doctor says of settings, database and broker, well and ill."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings
from stomp.utils import Frame

from django_outbox import doctor
from django_outbox.dialects import ActiveMQ, Artemis, Dialect, RabbitMQ
from django_outbox.doctor import broker, database, project, queues
from django_outbox.doctor.findings import Finding, Level, ok, sentence
from django_outbox.exceptions import BrokerRefused, BrokerUnavailable, ConfigurationError
from django_outbox.models import Published, Received
from django_outbox.subscription import Subscription
from django_outbox.transport.wire import TlsSocket
from tests.unit.library.commands.running import outbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OK, WARN, FAIL = Level.OK, Level.WARN, Level.FAIL
REFUSED_FOR_NOTHING = "PRECONDITION_FAILED - invalid expiration 'outbox-doctor': no_integer"


def _levels(findings: Iterable[Finding]) -> dict[str, Level]:
    return {finding.name: finding.level for finding in findings}


def _only(findings: Iterable[Finding], name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


# --- settings


def test_settings_that_are_right_are_one_line() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"CLAIM_LEASE": 300}):
        (finding,) = [finding for finding in project.examine() if "W00" not in finding.message]
    assert (finding.level, finding.message[:5]) == (OK, "1 set")


def test_settings_that_are_wrong_say_what_to_write() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"CLAIM_LEESE": 300, "CLAIM_LEASE": "long"}):
        unknown, wrong = project.examine()
        assert not project.settings_can_be_read()
    assert (unknown.level, unknown.advice) == (WARN, "Did you mean 'CLAIM_LEASE'?")
    assert wrong.level is FAIL
    assert "Default: 120" in wrong.advice


def test_settings_that_cannot_be_read_end_the_examination() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"CLAIM_LEASE": "long"}):
        assert _levels(doctor.examine("default", [], [])) == {"settings": FAIL}


# --- the database


@pytest.mark.django_db
def test_a_database_that_is_well_is_left_as_it_was() -> None:
    assert set(_levels(database.examine("default")).values()) == {OK}
    assert not Published.objects.exists()
    assert not Received.objects.exists()


def test_a_database_that_does_not_answer_is_asked_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(connections["default"], "ensure_connection", refuse)
    (finding,) = database.examine("default")
    assert finding.level is FAIL
    assert finding.message == "It does not answer: connection refused Is the server running?"
    assert "DATABASES['default']" in finding.advice


@pytest.mark.django_db
def test_a_migration_that_is_missing_is_named() -> None:
    MigrationRecorder(connection).record_unapplied(database.APP_LABEL, "0011_published_key_indexes")
    finding = _only(database.examine("default"), "migrations")
    assert finding.level is FAIL
    assert "0011_published_key_indexes" in finding.message


@pytest.mark.django_db
def test_an_index_that_is_missing_is_named() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX published_status_27c9ec_btree")
    finding = _only(database.examine("default"), "indexes of published")
    assert (finding.level, finding.message) == (WARN, "Missing or not valid: published_status_27c9ec_btree.")


@pytest.mark.django_db
def test_a_table_that_may_not_be_written_to_is_named() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
        try:
            levels = _levels(database.examine("default"))
        finally:
            cursor.execute("PRAGMA query_only = OFF")
    assert (levels["rights on published"], levels["rights on received"]) == (FAIL, FAIL)


@pytest.mark.django_db
@pytest.mark.parametrize(("theirs", "level"), [(0.0, OK), (-60.0, WARN), (60.0, WARN)])
def test_a_clock_that_differs_is_told(monkeypatch: pytest.MonkeyPatch, theirs: float, level: Level) -> None:
    monkeypatch.setattr(database, "_CLOCKS", {"sqlite": f"SELECT {time.time() + theirs}"})
    assert _only(database.examine("default"), "clock").level is level


# --- the broker


@dataclass
class Wire:
    """A connection whose broker answers each frame as a script says."""

    ear: broker.Ear
    says: dict[str, list[tuple[str, dict[str, str], str]]]
    transport: Any = field(default_factory=lambda: SimpleNamespace(socket=None))
    frames: list[str] = field(default_factory=list)

    def _hear(self, frame: str, **values: str) -> None:
        self.frames.append(frame)
        for kind, headers, body in self.says.get(frame, ()):
            filled = {name: value.format(**values) for name, value in headers.items()}
            method = {"MESSAGE": "on_message", "RECEIPT": "on_receipt", "ERROR": "on_error"}[kind]
            getattr(self.ear, method)(Frame(kind, filled, body))

    def subscribe(self, destination: str, id: str, **_: Any) -> None:  # noqa: A002
        self.says = {"SEND": []} | self.says
        self.id = id
        self._hear("SUBSCRIBE", id=id)

    def send(self, destination: str, body: str, headers: Any) -> None:
        self._hear("SEND", id=getattr(self, "id", ""))

    def ack(self, tag: str) -> None:
        self._hear("ACK")

    def unsubscribe(self, id: str) -> None:  # noqa: A002
        self._hear("UNSUBSCRIBE")


SUBSCRIBED = ("RECEIPT", {"receipt-id": "subscribed"}, "")
CONFIRMED = ("RECEIPT", {"receipt-id": "sent"}, "")
BACK = ("MESSAGE", {"subscription": "{id}", "ack": "1", "persistent": "true"}, "outbox doctor")
VOLATILE = ("MESSAGE", {"subscription": "{id}", "ack": "1"}, "outbox doctor")
NO_RIGHTS = ("ERROR", {"message": "access_refused"}, "ACCESS_REFUSED - access to queue refused")
FULL = ("ERROR", {"message": "resource_error"}, "no space")


def _opened(wire: Wire, host: str = "127.0.0.1:61613", dialect: Dialect | None = None) -> Any:
    return SimpleNamespace(connection=wire, host=host, dialect=dialect or RabbitMQ(), close=lambda **_: None)


@pytest.mark.parametrize(
    ("says", "level", "words"),
    [
        ({"SUBSCRIBE": [SUBSCRIBED], "SEND": [CONFIRMED, BACK]}, OK, "confirmed and came back"),
        ({"SUBSCRIBE": [SUBSCRIBED], "SEND": [BACK, CONFIRMED]}, OK, "confirmed and came back"),
        ({"SUBSCRIBE": [SUBSCRIBED], "SEND": [CONFIRMED, VOLATILE]}, WARN, "not kept it as persistent"),
        ({"SUBSCRIBE": [NO_RIGHTS]}, WARN, "ACCESS_REFUSED"),
        ({"SUBSCRIBE": [SUBSCRIBED], "SEND": [FULL]}, FAIL, "no space"),
        ({"SUBSCRIBE": [SUBSCRIBED], "SEND": [BACK]}, FAIL, "did not answer in time"),
        ({"SUBSCRIBE": [SUBSCRIBED], "SEND": [CONFIRMED]}, FAIL, "did not answer in time"),
        ({}, FAIL, "did not answer in time"),
    ],
)
def test_a_round_trip_needs_confirm_and_message(says: Any, level: Level, words: str) -> None:
    ear = broker.Ear()
    with override_settings(DJANGO_OUTBOX_PATTERN={"RECEIPT_TIMEOUT": 0.2}):
        finding = broker._round_trip(_opened(Wire(ear, says)), ear)
    assert (finding.name, finding.level) == ("round trip", level)
    assert words in finding.message


@pytest.mark.parametrize(
    ("dialect", "prefix"), [(RabbitMQ(), "/queue/"), (ActiveMQ(), "/temp-queue/"), (Artemis(), "/queue/")]
)
def test_the_doctors_queue_is_one_that_goes_by_itself(dialect: Dialect, prefix: str) -> None:
    destination, headers = broker.own_queue(dialect, "outbox-doctor-1")
    assert destination == f"{prefix}outbox-doctor-1"
    assert (headers.get("auto-delete") == "true") is dialect.declares_queues


@pytest.mark.parametrize(
    ("ours", "theirs", "level", "words"),
    [
        ((10000, 10000), "10000,20000", OK, "Every 20 s out, every 10 s in"),
        ((10000, 10000), "0,0", WARN, "neither way"),
        ((0, 10000), "5000,5000", WARN, "only in"),
        ((10000, 10000), "nonsense", WARN, "neither way"),
    ],
)
def test_heart_beats_are_those_that_both_want(ours: Any, theirs: str, level: Level, words: str) -> None:
    ear = broker.Ear()
    ear.on_connected(Frame("CONNECTED", {"heart-beat": theirs}, ""))
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_HEARTBEATS": ours}):
        finding = broker._heartbeats(ear)
    assert finding.level is level
    assert words in finding.message


class FakeTls(ssl.SSLSocket):
    """A TLS socket that is not connected to anything."""

    certificate: dict[str, Any]

    def __init__(self) -> None:
        """Skip what needs a connection."""

    def __del__(self) -> None:
        """Nothing to close."""

    def setblocking(self, flag: bool) -> None:
        """Nothing to set."""

    def version(self) -> str:
        return "TLSv1.3"

    def getpeercert(self, binary_form: bool = False) -> Any:
        return self.certificate


def _tls(days: int | None, host: str = "broker:61614") -> Finding:
    wire = FakeTls.__new__(FakeTls)
    ends = datetime.now(UTC) + timedelta(days=days or 0, hours=1)
    wire.certificate = {} if days is None else {"notAfter": ends.strftime("%b %d %H:%M:%S %Y GMT")}
    connected = Wire(broker.Ear(), {}, SimpleNamespace(socket=TlsSocket(wire)))
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_USE_SSL": True}):
        return broker._tls(_opened(connected, host))


def test_tls_tells_whether_the_broker_is_verified_and_for_how_long() -> None:
    assert (_tls(400).level, _tls(400).message[:8]) == (OK, "TLSv1.3;")
    assert (_tls(3).level, _tls(3).message[-8:]) == (WARN, " 3 days.")
    assert (_tls(None).level, _tls(None).advice[:26]) == (WARN, "Take DEFAULT_STOMP_SSL_VER")


def test_a_password_in_clear_is_told_except_on_this_machine() -> None:
    wire = Wire(broker.Ear(), {})
    assert broker._tls(_opened(wire)).level is OK
    assert broker._tls(_opened(wire, "broker.example:61613")).level is WARN


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (BrokerUnavailable("cannot connect: no connection could be made."), "STOMP plugin"),
        (BrokerUnavailable("certificate verify failed."), "DEFAULT_STOMP_USE_SSL"),
        (BrokerRefused("refused ... Virtual host 'x' access denied."), "virtual host"),
        (BrokerRefused("Access refused for user 'x'."), "known to the broker"),
        (ConfigurationError("DEFAULT_STOMP_CA_CERTS names a file that cannot be read."), ""),
    ],
)
def test_a_broker_that_lets_nobody_in_is_asked_nothing_more(
    monkeypatch: pytest.MonkeyPatch, error: Exception, advice: str
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(broker, "open_connection", refuse)
    (finding,) = broker.examine()
    assert finding.level is FAIL
    assert finding.message == sentence(error)
    assert advice in finding.advice


def test_the_examination_of_a_broker_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    wire = Wire(broker.Ear(), {})

    def connect(_role: str, listener: broker.Ear) -> Any:
        listener.on_connected(Frame("CONNECTED", {"server": "RabbitMQ/3.10.8"}, ""))
        return SimpleNamespace(
            connection=wire, host="127.0.0.1:1", dialect=RabbitMQ(), close=lambda **_: closed.append(True)
        )

    monkeypatch.setattr(broker, "open_connection", connect)
    with override_settings(DJANGO_OUTBOX_PATTERN={"RECEIPT_TIMEOUT": 0.1}):
        findings = list(broker.examine())
    assert findings[0].message.startswith("RabbitMQ/3.10.8 at 127.0.0.1:1 accepts 'guest'")
    assert closed == [True]


def test_each_of_several_brokers_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def reach(address: tuple[str, int], timeout: float) -> Any:
        if address[0] == "away":
            raise OSError("connection refused")
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr("socket.create_connection", reach)
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_HOST_AND_PORTS": [("here", 1), ("away", 2)]}):
        (finding,) = broker._hosts()
    assert finding.level is WARN
    assert "away:2 (connection refused)" in finding.message
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_HOST_AND_PORTS": [("here", 1), ("here", 2)]}):
        assert _levels(broker._hosts()) == {"failover": OK}


# --- destinations and queues


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the broker says about a SEND to a destination; by default the refusal that means all is well."""
    said: dict[str, str] = {}
    monkeypatch.setattr(queues, "_ask", lambda destination, _headers=None: said.get(destination, REFUSED_FOR_NOTHING))
    monkeypatch.setattr(queues, "_of_decorators", set)
    monkeypatch.setattr(queues, "_dialect", RabbitMQ)
    monkeypatch.setattr(queues, "queue_is_there", lambda name: f"no {name}" not in said)
    monkeypatch.setattr(queues, "_why_not_to_read", lambda name: said.get(f"read {name.partition('.outbox-')[0]}"))
    return said  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (REFUSED_FOR_NOTHING, OK),
        ("ACCESS_REFUSED - access to exchange 'amq.topic' refused", FAIL),
        ("NOT_FOUND - no exchange 'x'", FAIL),
        ("Unknown destination", FAIL),
    ],
)
def test_a_destination_is_asked_about(answers: dict[str, str], answer: str, level: Level) -> None:
    answers["/topic/orders"] = answer
    assert _levels(queues.examine(["/topic/orders"], [])) == {"publish to /topic/orders": level}


def test_to_ask_about_a_queue_does_not_make_it(answers: dict[str, str]) -> None:
    answers["/amq/queue/orders"] = "NOT_FOUND - no exchange"
    assert _levels(queues.examine(["/queue/orders"], [])) == {"publish to /queue/orders": FAIL}


def _billing(destination: str = "/topic/orders") -> Subscription:
    return Subscription.create(lambda _payload: None, destination, "billing")


def test_queues_that_are_what_a_subscriber_declares_are_well(answers: dict[str, str]) -> None:
    assert _levels(queues.examine([], [_billing()])) == {
        "queue billing": OK,
        "queue DLQ.billing": OK,
        "queues RETRY.billing.*": OK,
    }
    assert "queue orders" in _levels(queues.examine([], [_billing("/queue/orders")]))


def test_a_queue_with_other_arguments_is_explained(answers: dict[str, str]) -> None:
    answers["/queue/billing"] = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'billing'"
    answers["/queue/DLQ.billing"] = "ACCESS_REFUSED - access to queue 'DLQ.billing' refused"
    main, dead, _waiting = queues.examine([], [_billing()])
    assert (main.level, dead.level) == (FAIL, FAIL)
    assert "'x-queue-type'" in main.message
    assert "cannot be changed" in main.advice
    assert "Grant" in dead.advice


def test_a_queue_that_is_not_there_is_not_made(answers: dict[str, str]) -> None:
    answers |= {"no billing": "", "no DLQ.billing": "", "/queue/billing": "asked, and so made"}
    main, dead, _waiting = queues.examine([], [_billing()])
    assert (main.level, dead.level) == (WARN, WARN)
    assert main.message == "It does not exist."


def test_waiting_queues_that_may_not_be_read_make_retries_late(answers: dict[str, str]) -> None:
    answers["read RETRY.billing"] = "ACCESS_REFUSED - access to queue 'RETRY.billing.x' refused"
    _main, _dead, waiting = queues.examine([], [_billing()])
    assert (waiting.level, waiting.message[:42]) == (WARN, "Retries would come up to 1 hour late: ACCE")
    assert "read on RETRY.*" in waiting.advice


def test_a_waiting_queue_with_other_arguments_is_named(answers: dict[str, str]) -> None:
    answers["/queue/RETRY.billing.60s"] = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'"
    assert _levels(queues.examine([], [_billing()]))["queue RETRY.billing.60s"] is FAIL


def test_where_no_delays_are_set_no_waiting_queue_is_asked_for(answers: dict[str, str]) -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"CONSUMER_RETRY_DELAYS": ()}):
        assert set(_levels(queues.examine([], [_billing()]))) == {"queue billing", "queue DLQ.billing"}


@pytest.mark.parametrize(
    ("dialect", "answer", "level", "questions"),
    [
        (RabbitMQ, "it took what it should refuse", OK, 2),
        (RabbitMQ, "ACCESS_REFUSED - access to exchange refused", WARN, 2),
        (Artemis, "it took what it should refuse", OK, 0),
    ],
)
def test_a_broker_that_would_send_the_question_is_asked_nothing(
    monkeypatch: pytest.MonkeyPatch, dialect: type[Dialect], answer: str, level: Level, questions: int
) -> None:
    asked = []

    def take(destination: str, _headers: Any = None) -> str:
        asked.append(destination)
        return answer

    monkeypatch.setattr(queues, "_ask", take)
    monkeypatch.setattr(queues, "_dialect", dialect)
    (finding,) = queues.examine(["/topic/orders"], [_billing()])
    assert (finding.level, len(asked)) == (level, questions)
    assert all("/outbox-doctor-" in destination for destination in asked)


# --- the command


def test_the_command_fails_when_something_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [ok("settings", "fine."), Finding("broker", FAIL, "It is away, " + "far " * 30 + "away.", "Bring it back.")]
    monkeypatch.setattr(doctor, "examine", lambda *_: iter(found))
    ended = outbox("doctor")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert lines[0] == "ok    settings: fine."
    assert lines[1].startswith("fail  broker: It is away,")
    assert "      To do: Bring it back." in lines
    assert lines[-1] == "1 ok, 0 to look at, 1 failed."
    assert max(map(len, lines)) <= 80


def test_a_warning_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *_: iter([Finding("TLS", WARN, "Off.", "Turn it on.")]))
    ended = outbox("doctor", "--json")
    assert ended.code == 0
    assert ended.document == {
        "ok": True,
        "checks": [{"name": "TLS", "level": "warn", "message": "Off.", "advice": "Turn it on."}],
    }


def test_the_command_passes_on_what_it_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def examine(using: str, destinations: list[str], subscriptions: list[Subscription]) -> Iterator[Finding]:
        asked.append((using, destinations, [(one.destination, one.queue) for one in subscriptions]))
        return iter(())

    monkeypatch.setattr(doctor, "examine", examine)
    outbox("doctor", "--destination", "/topic/a", "--subscription", "/topic/b", "billing", "--database", "default")
    assert asked == [("default", ["/topic/a"], [("/topic/b", "billing")])]
