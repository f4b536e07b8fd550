"""Who holds what did not arrive: asked while the workers still run, because stopping them lets it go."""

from __future__ import annotations

import contextlib
import re
import signal
from typing import TYPE_CHECKING, Any

import psycopg

from tests.chaos.stage import QUEUE
from tests.rig.waiting import RigError, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.processes import Process
    from tests.chaos.stage import Stage

_LONGEST_LINE = 400
_DEPTH = 6
_FRAME = re.compile(r'File "(?:.*/)?([^/"]+)", line (\d+) in (.+)')
_EVERYWHERE = frozenset({"threading.py", "selectors.py", "socketserver.py"})
_DUMP_SECONDS = 10
_MISSING = "SELECT number FROM ledger_order EXCEPT SELECT number FROM ledger_effect ORDER BY number LIMIT 20"
_UNSENT = (
    "SELECT id, status, retry, next_attempt_at, claimed_until, key, last_error, now() FROM published"
    " WHERE status <> 2 ORDER BY added LIMIT 10"
)
_SESSIONS = (
    "SELECT client_port, state, wait_event_type, wait_event, now() - xact_start, left(query, 120) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND (state <> 'idle' OR wait_event = 'Lock')"
)
_LOCKS = "SELECT locktype, mode, relation::regclass, pid FROM pg_locks WHERE NOT granted"


def whereabouts(found: Stage) -> list[str]:
    """Return lines for people: the rows, the queue, the database's sessions, and what each worker is doing."""
    lines = []
    for name, sql in (("missing", _MISSING), ("unsent", _UNSENT), ("sessions", _SESSIONS), ("waiting locks", _LOCKS)):
        try:
            lines += [f"{name}: {', '.join(map(str, row))}" for row in found.rows(sql)]
        except psycopg.Error as error:
            lines.append(f"{name}: {error}")
    lines += _of_the_queue(found)
    for process in found.processes.values():
        lines += _of_the_process(process)
    return [line[:_LONGEST_LINE] for line in lines]


def _of_the_queue(found: Stage) -> Iterator[str]:
    try:
        queue: dict[str, Any] = found.broker.api.queue(QUEUE) or {}
    except (RigError, OSError) as error:
        yield f"queue: {error}"
        return
    yield f"queue: ready {queue.get('messages_ready')}, unacknowledged {queue.get('messages_unacknowledged')}"
    for consumer in queue.get("consumer_details", []):
        channel = consumer.get("channel_details", {})
        yield f"consumer: {channel.get('peer_port')} {consumer.get('consumer_tag')} active {consumer.get('active')}"


def _of_the_process(process: Process) -> list[str]:
    """Have a worker write its threads' stacks to its log, as the application arranged for, and return them."""
    mark = process.log.stat().st_size
    if process.signal(signal.SIGUSR1) is None:
        return [f"{process.name}: does not run"]

    def written() -> bytes:
        with process.log.open("rb") as log:
            log.seek(mark)
            return log.read()

    with contextlib.suppress(RigError):
        # The current thread is written last, its stack down to the module's own line.
        wait_until("the stacks", lambda: b"in <module>" in written(), seconds=_DUMP_SECONDS, state=lambda: process.name)
    return [f"{process.name}: {stack}" for stack in _stacks(written().decode(errors="replace"))]


def _stacks(dump: str) -> Iterator[str]:
    """Return a line for each thread of faulthandler's dump, innermost first; how threads begin tells nothing."""
    for thread in dump.split("\n\n"):
        frames = [frame for frame in _FRAME.findall(thread) if frame[0] not in _EVERYWHERE]
        if frames:
            yield " < ".join(f"{file}:{line} {name}" for file, line, name in frames[:_DEPTH])
