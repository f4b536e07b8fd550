"""The frames that are written many at a time are those that stomp.py would have made."""

from __future__ import annotations

import pytest
from stomp.protocol import Protocol12
from stomp.utils import parse_frame

from django_outbox.transport.frames import ack_frames, send_frame


class _Wire:
    def __init__(self) -> None:
        self.frames: list[tuple[dict[str, object], object]] = []

    def set_listener(self, _name: str, _listener: object) -> None:
        """Take what the protocol registers."""

    def transmit(self, frame: object) -> None:
        self.frames.append((dict(frame.headers), frame.body))  # type: ignore[attr-defined]


def _by_stomp(destination: str, body: str | bytes, headers: dict[str, object]) -> dict[str, str]:
    wire = _Wire()
    Protocol12(wire).send(destination, body, headers=dict(headers))
    return {name: str(value) for name, value in wire.frames[0][0].items()}


@pytest.mark.parametrize("body", ["{}", "", "ä中\U0001f600", b"\0\xff", "x" * 5000])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"persistent": "true", "exclusive": False},
        {"at": "2026-01-01T00:00:00.000Z", "back": "a\\b", "lines": "a\r\nb", "é": "ü: ß"},
        {"100%": "%s", "%s": "100%", "%(x)s": "\\c"},
    ],
)
def test_a_frame_says_what_stomps_would_say(body: str | bytes, headers: dict[str, object]) -> None:
    destination = "/topic/a:b"
    frame = send_frame(destination, body, headers, "1-2")
    head, _, content = frame[:-1].partition(b"\n\n")
    lines = head.decode().split("\n")
    told = dict(line.split(":", 1) for line in lines[1:])
    expected = _by_stomp(destination, body, {**headers, "receipt": "1-2"})
    if body:
        # stomp.py counts the bytes only when it writes the frame.
        expected["content-length"] = str(len(body.encode() if isinstance(body, str) else body))
    assert (lines[0], told) == ("SEND", expected)
    assert content == (body.encode() if isinstance(body, str) else body)
    assert frame.endswith(b"\0")


@pytest.mark.parametrize("identities", [[], ["T_1@@session-a@@1"], ["ID:host-1:2:3\\4", "ä", "1"]])
def test_acknowledgements_say_what_stomps_would_say(identities: list[str]) -> None:
    frames = ack_frames(identities).split(b"\0")
    assert frames.pop() == b""
    wire = _Wire()
    for identity, frame in zip(identities, frames, strict=True):
        Protocol12(wire).ack(identity)
        assert frame.decode() == f"ACK\nid:{wire.frames[-1][0]['id']}\n\n"


def test_stomp_reads_the_frame_back() -> None:
    frame = parse_frame(send_frame("/queue/a", '{"n": 1}', {"x": "y"}, "1-1")[:-1])
    assert (frame.cmd, frame.headers["x"], frame.headers["receipt"]) == ("SEND", "y", "1-1")
