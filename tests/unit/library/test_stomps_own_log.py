"""What stomp.py writes into the log once our connections use it."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings
from stomp.utils import Frame

from django_outbox.transport.stomp import build_connection

if TYPE_CHECKING:
    import stomp


def _logged(caplog: pytest.LogCaptureFixture, **configured: Any) -> str:
    caplog.set_level(logging.DEBUG, "stomp.py")
    with override_settings(DJANGO_OUTBOX_PATTERN=configured):
        connection: stomp.StompConnection12 = build_connection(None)
        connection.transport.send = lambda _frame: None
        connection.transport.blocking = True
        connection.transport.transmit(Frame("STOMP", {"login": "me", "passcode": "top'secret word"}, None))
        connection.transport.transmit(Frame("SEND", {"person": "Ada"}, '{"salary": 1}'))
        received = b"MESSAGE\nperson:Ada\n\n" + b'{"salary": 1}'
        connection.transport.process_frame(Frame("MESSAGE", {"person": "Ada"}, '{"salary": 1}'), received)
    return caplog.text


def test_a_passcode_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    said = _logged(caplog, LOG_MESSAGE_BODIES=True)
    assert "ending frame: STOMP" in said
    assert "secret" not in said
    assert "word" not in said


def test_frames_are_named_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    said = _logged(caplog)
    # Without the first letter, which some releases write large.
    assert "ending frame: SEND" in said
    assert "eceived frame: MESSAGE" in said
    assert "Ada" not in said
    assert "salary" not in said


def test_who_wants_bodies_in_the_log_gets_them(caplog: pytest.LogCaptureFixture) -> None:
    said = _logged(caplog, LOG_MESSAGE_BODIES=True)
    assert said.count("salary") == 2
    assert said.count("Ada") == 2


def _closed_twice(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Close a socket under stomp.py, as its other thread does when the broker parts first."""
    connection: stomp.StompConnection12 = build_connection(None)
    connection.transport.socket = socket.socket()
    connection.transport.socket.close()
    connection.transport.disconnect_socket()
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_closing_what_the_broker_has_closed_is_no_warning(caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(level, "stomp.py")
    assert _closed_twice(caplog) == []


def test_at_debug_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "stomp.py")
    assert [level for level, words in _closed_twice(caplog) if "SHUT_RDWR" in words] == ["DEBUG"]
