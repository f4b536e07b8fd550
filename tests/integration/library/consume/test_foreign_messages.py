"""Whatever another producer puts into our queue: it takes effect once, or it is among the dead letters.

Each message of the corpus is sent twice: once for the callback to save, and once for it to fail on. The broker's answer
tells what it took; all of that has to be found again, and the subscriber still has its first connection.
"""

from __future__ import annotations

import base64
from collections import Counter
from typing import TYPE_CHECKING

from tests.integration.library.consume.foreign import Foreign, RawProducer
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscribers
    from tests.rig.hostservices import RabbitMQ

_LONG = b"i" * 10_000

BODIES = [
    Foreign("no body at all", b""),
    Foreign("not JSON", b"hello"),
    Foreign("half of a JSON object", b'{"a": '),
    Foreign("binary with NUL bytes", b"\0\xff\xfe\0\x80\0"),
    Foreign("Latin-1", "caf\u00e9".encode("latin-1"), (b"content-type:text/plain;charset=iso-8859-1",)),
    Foreign("UTF-16 with a byte order mark", '{"a": 1}'.encode("utf-16")),
    Foreign("UTF-8 with a byte order mark", b'\xef\xbb\xbf{"a": 1}'),
    Foreign("gzip", b"\x1f\x8b\x08\0\0\0\0\0", (b"content-encoding:gzip",)),
    Foreign("NaN", b'{"a": NaN}'),
    Foreign("Infinity by another name", b"[1e400]"),
    Foreign("an escaped NUL", b'{"a": "\\u0000"}'),
    Foreign("half a surrogate pair", b'{"a": "\\ud800"}'),
    Foreign("nested too deep to read", b"[" * 100_000),
    Foreign("nested as deep as can be read", b"[" * 900 + b"]" * 900),
    Foreign("a number of 5000 digits", b"1" * 5000),
    Foreign("a name twice", b'{"a": 1, "a": 2}'),
    Foreign("two million bytes", b'"' + b"x" * 2_000_000 + b'"'),
    Foreign("a frame within the body", b"MESSAGE\nsubscription:1\n\n{}\0"),
]
HEADERS = [
    Foreign("an id of 10,000 characters", lines=(b"dop-msg-id:" + _LONG,)),
    Foreign("an id of 10,000 characters that ends otherwise", lines=(b"dop-msg-id:" + _LONG + b"2",)),
    Foreign("an empty id", lines=(b"dop-msg-id:",)),
    Foreign("two ids", lines=(b"dop-msg-id:first", b"dop-msg-id:second")),
    Foreign("an id in no encoding", lines=(b"dop-msg-id:\xff\xfe\x80",)),
    Foreign("a value in no encoding", lines=(b"color:\xff\xfe",)),
    Foreign("a name in no encoding", lines=(b"\xff\xfe:color",)),
    Foreign("every escape", lines=(rb"a\cb:c\nd\\e\rf",)),
    Foreign("a value of 64 KiB", lines=(b"long:" + b"x" * 65_536,)),
    Foreign("five hundred headers", lines=tuple(b"h%d:%d" % (n, n) for n in range(500))),
    Foreign("no value, no name", lines=(b"empty:", b" spaced : out ")),
    Foreign("an unknown escape", lines=(rb"a:b\tc",)),
    Foreign("a line without a colon", lines=(b"nothing",)),
    Foreign("what a broker says", lines=(b"subscription:x", b"ack:forged", b"message-id:forged", b"redelivered:maybe")),
    Foreign("what a frame needs", lines=(b"content-length:3", b"destination:/queue/other", b"receipt-id:1")),
    Foreign(
        "our own, all wrong",
        lines=(b"dop-attempts:many", b"dop-msg-sent-time:yesterday", b"dop-queue:", b"dop-correlation-id:"),
    ),
    Foreign("trace context", lines=(b"traceparent:00-zz", b"tracestate:" + _LONG, b"baggage:=;=")),
    Foreign("not persistent, and short of time", lines=(b"persistent:maybe", b"expiration:600000")),
]
AMQP = [
    Foreign("nothing but a number", properties={}),
    Foreign("a NUL in a header", properties={"headers": {"color": "a\0b"}}),
    Foreign("a NUL in the name of a header", properties={"headers": {"a\0b": "color"}}),
    Foreign("tables and lists", properties={"headers": {"table": {"a": [1, {"b": True}]}, "list": [1, "x", 2.5]}}),
    Foreign("numbers and truth", properties={"headers": {"n": 2**62, "f": 1.5, "t": True}}),
    Foreign("every property", properties={"correlation_id": "c" * 255, "type": "t", "reply_to": "r", "app_id": "a"}),
    Foreign("forged deaths", properties={"headers": {"x-death": [{"count": 99, "queue": "q"}]}}),
    Foreign("line breaks", properties={"headers": {"a\r\nb": "c\r\nd:e"}, "correlation_id": "a\nb:c"}),
    Foreign("names that frames use", properties={"headers": {"ack": "1", "subscription": "x", "message-id": "y"}}),
    Foreign("the length of a body", properties={"headers": {"content-length": "3", "destination": "/x"}}),
]
CORPUS = [*BODIES, *HEADERS, *AMQP]


def test_every_message_of_a_stranger_is_saved_once_or_is_a_dead_letter(
    subscribers: Subscribers, broker: Broker, database: Database, rabbitmq: RabbitMQ, queue: str
) -> None:
    subscriber = subscribers.start("saves_by_number", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[]).wait_ready()
    taken = _send_all(rabbitmq, queue)
    broker.send(f"/topic/{queue}", {}, corpus=f"{queue}-last")
    subscriber.wait_for("the last effect", lambda: database.effects(f"{queue}-last") == 1)
    wait_until(
        "every message is accounted for",
        lambda: not _missing(taken, database, rabbitmq, queue),
        seconds=60,
        state=lambda: f"missing: {_missing(taken, database, rabbitmq, queue)}\n{subscriber.evidence()}",
    )
    found = Counter(row[0] for row in database.rows("SELECT key FROM events_effect WHERE key LIKE %s", f"{queue}-%"))
    assert {number: count for number, count in found.items() if count != 1} == {}
    assert broker.depth(queue) == 0
    _check_letters(broker, queue)
    assert subscriber.metric("outbox_broker_reconnects_total") in (None, 0.0), subscriber.evidence()
    assert subscriber.ready()
    assert subscriber.stop() == 0


def _check_letters(broker: Broker, queue: str) -> None:
    """Check that each dead letter is the message as it came, and says why it is there."""
    for letter in broker.server.get_messages(f"DLQ.{queue}", 1000):
        headers = letter["properties"]["headers"]
        message = CORPUS[int(headers["corpus"].rpartition("-")[2])]
        is_text = letter["payload_encoding"] == "string"
        body = letter["payload"].encode() if is_text else base64.b64decode(letter["payload"])
        assert body == message.body, message.name
        if "NUL in" not in message.name:
            assert headers["dop-error"] == f"ValueError: cannot handle {headers['corpus']}", message.name
            assert str(headers["dop-attempts"]) == "1", message.name


def _send_all(server: RabbitMQ, queue: str) -> dict[str, str]:
    """Send each message to be saved and to be failed on; return the names of those the broker took, by number."""
    taken = {}
    for position, message in enumerate(CORPUS):
        for number in (f"{queue}-{position}", f"bad-{queue}-{position}"):
            if _send(server, queue, message, number):
                taken[number] = message.name
    # A broker that refuses some of it is no fault; one that refuses most of it makes this test an idle one.
    assert len(taken) > 1.8 * len(CORPUS), sorted(taken.values())
    return taken


def _send(server: RabbitMQ, queue: str, message: Foreign, number: str) -> bool:
    if message.properties is None:
        # The same id twice would be a duplicate.
        is_id = b"dop-msg-id:"
        lines = tuple(
            line + number.encode() if line.startswith(is_id) and line != is_id else line for line in message.lines
        )
        with RawProducer(server) as producer:
            return producer.send(f"/topic/{queue}", (b"corpus:" + number.encode(), *lines), message.body)
    headers = {"corpus": number, **message.properties.get("headers", {})}
    properties = {**message.properties, "headers": headers}
    return server.api.publish(queue, message.body.decode(), exchange="amq.topic", properties=properties)


def _missing(taken: dict[str, str], database: Database, server: RabbitMQ, queue: str) -> dict[str, str]:
    """Return the messages that neither had their effect nor are dead letters."""
    saved = {row[0] for row in database.rows("SELECT key FROM events_effect WHERE key LIKE %s", f"{queue}-%")}
    letters = server.get_messages(f"DLQ.{queue}", 1000)
    dead = {str(letter["properties"].get("headers", {}).get("corpus")) for letter in letters}
    return {number: name for number, name in taken.items() if number not in saved and number not in dead}
