"""A body goes out as ``json.dumps`` would write it, whether it is read on the way or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue

BODIES: list[Any] = [
    {},
    [],
    "",
    0,
    None,
    True,
    -1.5,
    # In the order of PostgreSQL, which keeps the shortest names first.
    {"slash": "a/b", "quoted": 'a "word" \\ and\n\r\t\b\f\x01', "per cent": "100 %s"},
    {"beyond ASCII": "ä中\U0001f600 é"},
    {"long": "x" * 10_000},
    {"longer than a number may be": "7" * 4301},
    {"odd": ["[" * 300, "{" * 300], "wide": [[n] for n in range(300)]},
    {"whole": 10**400, "small": 2.5e-05, "parts": [1.25, -0.1, 1e16]},
]


@pytest.mark.parametrize("with_headers", [True, False])
def test_each_body_arrives_as_it_was_written(project: Project, queue: Queue, with_headers: bool) -> None:
    headers = json.dumps({"dop-msg-id": "x"} if with_headers else {})
    for body in BODIES:
        _insert(project, queue, json.dumps(body), headers)
    publisher = project.publish()
    publisher.wait_sent(len(BODIES))
    arrived = [message["payload"] for message in queue.take()]
    assert [json.loads(text) for text in arrived] == BODIES
    plain = [json.dumps(body) for body in BODIES[:-1]]
    assert [text for text in arrived if text in plain] == plain, "other programs may compare the bytes"


def test_a_number_keeps_every_digit(project: Project, queue: Queue) -> None:
    exact = '{"price": 1.10, "ratio": 0.12345678901234567890123}'
    _insert(project, queue, exact, "{}")
    project.publish().wait_sent(1)
    assert [message["payload"] for message in queue.take()] == [exact]


def _insert(project: Project, queue: Queue, body: str, headers: str) -> None:
    project.database.rows(
        """
        INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers)
        VALUES (gen_random_uuid(), %s, %s::jsonb, clock_timestamp(), now(), 0, 1, %s::jsonb)
        """,
        queue.destination,
        body,
        headers,
    )
