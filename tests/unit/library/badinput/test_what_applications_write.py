"""Whatever an application enqueues, it is told at once that it cannot be, or it arrives as it was meant.

And whatever is in the table, however it came there, costs only itself: a row that cannot be sent says why.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from hypothesis import example, given

from django_outbox import enqueue
from django_outbox.exceptions import InvalidMessage
from django_outbox.models import Published
from django_outbox.testing import MemoryBroker, run_relay
from tests.unit.library.badinput import strategies as some

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def _write(write: Callable[[], Published]) -> tuple[Published | None, str]:
    """Return the row, or None and why it was refused; a refused message leaves no row."""
    try:
        return write(), ""
    except InvalidMessage as error:
        assert not Published.objects.exists()
        return None, str(error)


def _relay_one(row: Published) -> tuple[Any, str | None]:
    """Relay a row beside a good one, which must arrive; return its message and its error."""
    good = enqueue("/queue/good", "fine")
    relayed = run_relay(MemoryBroker(frame_limit=4_000_000))
    arrived = {str(message.key): message for message in relayed.messages}
    assert str(good.id) in arrived, relayed.errors
    return arrived.get(str(row.id)), relayed.errors.get(str(row.id))


@given(body=some.bodies)
@example(body={"lines": [{"note": "fine"}, {"note": "\0"}]})
def test_a_body_is_refused_when_it_is_written_or_arrives(body: Any) -> None:
    with transaction.atomic():
        row, refusal = _write(lambda: enqueue("/queue/x", body))
        if row is None:
            assert "body" in refusal
        else:
            message, error = _relay_one(row)
            assert message is not None, error
            assert json.loads(message.body) == json.loads(json.dumps(body))
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"lines": [{"note": "fine"}, {"note": "a\0b"}]}, r"body\['lines'\]\[1\]\['note'\] holds the character NUL"),
        ({"a": {"b": math.nan}}, r"body\['a'\]\['b'\] is nan, which JSON cannot say"),
        ([1, math.inf], r"body\[1\] is inf"),
        ({"a": ["\ud800"]}, r"body\['a'\]\[0\] holds half of a surrogate pair"),
        ({"\0": 1}, r"body: the name '\\x00' holds the character NUL"),
        ({"when": object()}, r"body\['when'\] is of type object and cannot be written as JSON"),
        ({(1, 2): 3}, r"body has the name \(1, 2\), and names in JSON are text"),
        ({"n": 10**5000}, r"body\['n'\] is of type int and cannot be written as JSON"),
        ("\ud800", "body holds half of a surrogate pair"),
    ],
)
def test_the_refusal_names_the_place(body: Any, words: str) -> None:
    with pytest.raises(InvalidMessage, match=words):
        enqueue("/queue/x", body)
    with pytest.raises(InvalidMessage, match=words):
        Published.objects.bulk_create([Published(destination="/queue/x", body=body)])
    assert not Published.objects.exists()


def test_a_body_that_refers_to_itself_is_too_deep() -> None:
    body: list[Any] = []
    body.append(body)
    with pytest.raises(InvalidMessage, match="nested more than 200 levels"):
        enqueue("/queue/x", body)


def test_text_that_only_looks_suspicious_is_fine() -> None:
    body = ["\\u0000", "\U0001f600", "\\ud800"]
    row = enqueue("/queue/x", body)
    message, _ = _relay_one(row)
    assert json.loads(message.body) == body


@given(headers=some.headers)
def test_headers_are_refused_when_they_are_written_or_arrive_or_the_row_says_why(headers: dict[Any, Any]) -> None:
    with transaction.atomic():
        row, refusal = _write(lambda: enqueue("/queue/x", {}, headers=headers))
        if row is None:
            assert "headers" in refusal
        else:
            message, error = _relay_one(row)
            assert error if message is None else message.headers["dop-msg-id"] == str(row.id)
        transaction.set_rollback(True)


@pytest.mark.parametrize("headers", [[], "x", 7, [("a", "b")]])
def test_headers_that_are_no_mapping_are_refused(headers: Any) -> None:
    with pytest.raises(InvalidMessage, match="headers must be a mapping"):
        Published.objects.create(destination="/queue/x", body={}, headers=headers or ["x"])


@given(destination=some.destinations, version=some.versions)
def test_a_destination_is_refused_when_it_is_written_or_arrives_or_the_row_says_why(
    destination: Any, version: Any
) -> None:
    with transaction.atomic():
        row, refusal = _write(lambda: enqueue(destination, {}, version=version))
        if row is None:
            assert "destination" in refusal or "version" in refusal
        else:
            message, error = _relay_one(row)
            assert message is not None or error
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        ("body", "1" * 5000, "body cannot be read"),
        ("body", "[1e400]", "cannot be written as JSON"),
        ("headers", '{"n": ' + "1" * 5000 + "}", "headers cannot be read"),
        ("headers", "[1]", "not a JSON object"),
        ("headers", '"text"', "not a JSON object"),
        ("destination", "", "destination"),
        ("destination", "/queue/a\0b", "destination"),
        ("destination", "/queue/\n:\\b", None),
    ],
)
def test_a_row_that_was_written_by_other_means_costs_only_itself(column: str, text: str, words: str | None) -> None:
    row = enqueue("/queue/x", {})
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE published SET {column} = %s", [text])
    message, error = _relay_one(row)
    if words is None:
        assert message is not None
    else:
        assert message is None
        assert words in str(error)
