"""What a log line looks like to the collectors of logs."""

from __future__ import annotations

import json
import logging
import sys

from outbox_operator.logs import JsonFormatter


def record(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    what = sys.exc_info() if error else None
    return logging.LogRecord("outbox_operator.reconcile", logging.WARNING, "file", 1, message, arguments, what)


def test_a_line_is_one_json_object_with_time_level_logger_and_message() -> None:
    line = JsonFormatter().format(record("%s: rolled\nout", "Publisher shop/orders"))
    found = json.loads(line)
    assert "\n" not in line
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "outbox_operator.reconcile",
        "message": "Publisher shop/orders: rolled\nout",
    }


def test_an_error_brings_its_traceback_along_in_the_same_line() -> None:
    try:
        int("many")
    except ValueError:
        line = JsonFormatter().format(record("failed", error=True))
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("invalid literal for int() with base 10: 'many'")
