"""What the answers of a broker, in whatever order they come, say about the messages of a batch."""

from __future__ import annotations

import threading
import time
import uuid
from types import SimpleNamespace
from typing import Any

from django_outbox.transport.base import Patience, SendReport, Unsettled
from django_outbox.transport.book import ReceiptBook


def _frame(receipt: str | None = None, message: str = "", body: str = "") -> Any:
    headers = {"message": message} | ({"receipt-id": receipt} if receipt else {})
    return SimpleNamespace(headers=headers, body=body)


def _book(*receipts: str) -> tuple[ReceiptBook, dict[str, uuid.UUID]]:
    book = ReceiptBook()
    book.begin()
    keys = {receipt: uuid.uuid4() for receipt in receipts}
    book.expect(keys)
    return book, keys


def _wait(book: ReceiptBook, seconds: float = 5) -> SendReport:
    return book.wait(Patience(deadline=time.monotonic() + seconds))


def test_receipts_may_come_in_any_order() -> None:
    book, keys = _book("1", "2")
    book.on_receipt(_frame("2"))
    book.on_receipt(_frame("1"))
    report = _wait(book)
    assert report.confirmed.keys() == set(keys.values())
    assert report.unsettled is None


def test_a_receipt_of_something_else_is_no_answer() -> None:
    book, _ = _book("1")
    book.on_receipt(_frame("other"))
    assert _wait(book, 0).unsettled is Unsettled.TIMEOUT


def test_an_error_that_names_its_receipt_refuses_that_message() -> None:
    book, keys = _book("1", "2")
    book.on_error(_frame("1", "no", "because"))
    book.on_receipt(_frame("2"))
    report = _wait(book)
    assert report.refused == {keys["1"]: "no: because"}
    assert report.unsettled is None


def test_an_error_without_a_name_is_about_the_one_message_left_without_receipt() -> None:
    book, keys = _book("1", "2", "3")
    book.on_receipt(_frame("1"))
    book.on_error(_frame(message="Unknown destination"))
    book.on_receipt(_frame("3"))
    report = _wait(book)
    assert report.refused == {keys["2"]: "Unknown destination"}
    assert report.unsettled is None


def test_errors_without_names_are_about_the_messages_left_in_their_order() -> None:
    book, keys = _book("1", "2", "3")
    for words in ("first", "second"):
        book.on_error(_frame(message=words))
    book.on_receipt(_frame("2"))
    assert _wait(book).refused == {keys["1"]: "first", keys["3"]: "second"}


def test_an_error_followed_by_the_end_of_the_connection_names_nobody() -> None:
    book, _ = _book("1")
    book.on_error(_frame(message="not_found"))
    book.on_disconnected()
    report = _wait(book)
    assert report.refused == {}
    assert (report.unsettled, report.detail) == (Unsettled.CONNECTION_LOST, "not_found")


def test_fewer_errors_than_messages_without_receipt_settle_nothing() -> None:
    book, _ = _book("1", "2")
    book.on_error(_frame(message="not_found"))
    report = _wait(book, 0)
    assert report.refused == {}
    assert report.unsettled is Unsettled.CONNECTION_LOST


def test_a_lost_connection_ends_the_wait_at_once() -> None:
    book, keys = _book("1", "2")
    book.on_receipt(_frame("1"))
    timer = threading.Timer(0.05, book.on_disconnected)
    timer.start()
    began = time.monotonic()
    report = _wait(book, 30)
    timer.join()
    assert time.monotonic() - began < 10
    assert report.confirmed.keys() == {keys["1"]}
    assert report.unsettled is Unsettled.CONNECTION_LOST


def test_a_wait_ticks_so_that_the_worker_looks_alive() -> None:
    book, _ = _book("1")
    ticks: list[None] = []
    book.wait(Patience(deadline=time.monotonic() + 0.05, tick=lambda: ticks.append(None)))
    assert ticks


def test_an_error_frame_is_told_in_a_few_words() -> None:
    book, keys = _book("1")
    book.on_error(_frame("1", "too\nbig", "x" * 100_000))
    words = _wait(book).refused[keys["1"]]
    assert words.startswith("too big: xxx")
    assert len(words) <= 500
