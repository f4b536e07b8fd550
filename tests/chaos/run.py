"""One run: start everything, produce while the plan breaks it, let it settle, and take the account."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from tests.chaos.faults import Faults
from tests.chaos.ledger import Books, Report, judge
from tests.chaos.plan import Cast, make_plan
from tests.chaos.processes import Supervisor
from tests.chaos.stage import HEARTBEAT_SECONDS, LEASE_SECONDS, ORDER_QUEUE, Library, Size, Stage, stage
from tests.chaos.whereabouts import whereabouts
from tests.rig.paths import state_directory

if TYPE_CHECKING:
    from pathlib import Path

PROGRESS_EVERY_SECONDS = 10
# More than the target needs, for the transactions that are rolled back and the time that producers lose to faults.
_HEADROOM = 1.15
# A machine that cannot do what was asked in this many times the time does not get any further.
_PATIENCE = 2.0
_PATIENCE_AT_LEAST = 240.0  # seconds
_HAS_KEYS = "SELECT 1 FROM information_schema.columns WHERE table_name = 'published' AND column_name = 'key'"
_DISCARDED = b"already exists. discarding the message"


@dataclass(frozen=True)
class Wish:
    """What to run; times in seconds."""

    library: Library
    brokers: int
    seed: int
    faults: int
    messages: int
    seconds: float
    settle: float
    fails: int = 0

    @property
    def mode(self) -> str:
        """The run's broker in words."""
        return "one broker" if self.brokers == 1 else f"{self.brokers} brokers, quorum queues"


class Clock:
    """Prints what goes on, with the time since the beginning."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def say(self, words: str) -> None:
        """Print one line."""
        minutes, seconds = divmod(int(self.elapsed()), 60)
        print(f"  {minutes:2}:{seconds:02}  {words}", flush=True)


def run(wish: Wish) -> Report:
    """Run once and return the account; the logs stay where the run prints when it is not a good one."""
    clock = Clock()
    folder = _folder(wish)
    print(f"{wish.library.name}, {wish.mode}: {wish.faults} faults, {wish.messages:,} messages, SEED={wish.seed}")
    rate = wish.messages / wish.seconds * _HEADROOM
    size = Size(brokers=wish.brokers, rate=rate, seed=wish.seed, fails=wish.fails)
    with stage(wish.library, size, folder) as found:
        clock.say("servers are up")
        report = _run_on(found, wish, clock)
    report.seconds = clock.elapsed()
    _keep_or_remove(report, folder)
    return report


def _run_on(found: Stage, wish: Wish, clock: Clock) -> Report:
    cast = Cast(found.workers, found.producers, list(found.brokers), LEASE_SECONDS, HEARTBEAT_SECONDS)
    faults = Faults(make_plan(wish.seed, wish.faults, wish.seconds, cast), found)
    with Supervisor(list(found.processes.values())) as supervisor:
        found.start()
        clock.say(f"{len(found.processes)} processes are up")
        faults.start()
        _wait_for_the_end(found, faults, wish, clock)
        faults.end()
        healed_at = max(faults.last_end, _stop_producers(found, supervisor))
        clock.say("the last fault is over, settling")
        recovery = _settle(found, healed_at, wish, clock)
        held = whereabouts(found) if recovery is None else []
        supervisor.end()
    for process in found.processes.values():
        process.stop(20)
    report = _account(found, faults, wish, recovery)
    report.whereabouts = held
    return report


def _wait_for_the_end(found: Stage, faults: Faults, wish: Wish, clock: Clock) -> None:
    began = next_word = time.monotonic()
    # A rig that cannot do what was planned ends the run: its figures would prove nothing.
    while not faults.trouble:
        if time.monotonic() > began + _PATIENCE * wish.seconds + _PATIENCE_AT_LEAST:
            faults.trouble.append(f"not done after {time.monotonic() - began:.0f} s: {_words(_progress(found))}")
            return
        progress = _progress(found)
        if time.monotonic() >= next_word:
            clock.say(f"faults {len(faults.done):3}/{len(faults.plan)}  {_words(progress)}  {_now(faults)}")
            next_word += PROGRESS_EVERY_SECONDS
        if faults.finished() and progress.get("committed", 0) >= wish.messages:
            return
        time.sleep(1)


def _stop_producers(found: Stage, supervisor: Supervisor) -> float:
    """Stop them for good and return when that was done."""
    supervisor.processes = [process for process in supervisor.processes if process.name not in found.producers]
    for name in found.producers:
        found.processes[name].stop(20)
    return time.monotonic()


def _settle(found: Stage, healed_at: float, wish: Wish, clock: Clock) -> float | None:
    """Wait until every message has had its effect; return the seconds that took, None when it did not happen.

    The deadline counts from the last fault or the last arrival: a library that is slow is not stuck.
    """
    next_word, arrived, moved_at = time.monotonic(), 0, healed_at
    while time.monotonic() < moved_at + wish.settle:
        progress = _progress(found)
        if progress and progress["arrived"] >= progress["committed"] and not progress["unsent"]:
            return max(0.0, time.monotonic() - healed_at)
        if progress and progress["arrived"] > arrived:
            arrived, moved_at = progress["arrived"], time.monotonic()
        if time.monotonic() >= next_word:
            clock.say(_words(progress))
            next_word += PROGRESS_EVERY_SECONDS
        time.sleep(0.5)
    return None


def _progress(found: Stage) -> dict[str, int]:
    """Return the counts as they are now; nothing while the database is away."""
    try:
        row = found.rows(
            "SELECT (SELECT count(*) FROM ledger_order), (SELECT count(*) FROM published WHERE status <> 2),"
            " (SELECT count(DISTINCT number) FROM ledger_effect)"
        )[0]
    except psycopg.Error:
        return {}
    return dict(zip(("committed", "unsent", "arrived"), row, strict=True))


def _words(progress: dict[str, int]) -> str:
    if not progress:
        return "the database is away"
    return "  ".join(f"{name} {count:,}" for name, count in progress.items())


def _now(faults: Faults) -> str:
    return "; ".join(sorted(faults.under_way))


def _account(found: Stage, faults: Faults, wish: Wish, recovery: float | None) -> Report:
    # Whatever the broker still held back for the consumers that were just stopped is in its queue now.
    queues = [name for name in found.broker.api.queues() if name != ORDER_QUEUE]
    books = Books(
        committed=_numbers(found, "SELECT number FROM ledger_order"),
        effects=_numbers(found, "SELECT number FROM ledger_effect"),
        unsent=_numbers(found, "SELECT (body ->> 'number')::bigint FROM published WHERE status <> 2"),
        queued={name: [number for _, number in _drain(found, name)] for name in queues},
        keyed=_drain(found, ORDER_QUEUE),
        has_keys=bool(found.rows(_HAS_KEYS)),
        received=_numbers(found, "SELECT count(*) FROM received")[0],
        published=_numbers(found, "SELECT count(*) FROM published WHERE status = 2")[0],
    )
    silence = found.rows(
        "SELECT max(at - before) FROM (SELECT at, lag(at) OVER (ORDER BY at) AS before FROM ledger_effect) AS gaps"
    )[0][0]
    rolled_back = (path.read_text().split() for path in found.folder.glob("*-rolled-back.txt"))
    report = Report(
        library=wish.library.name,
        mode=wish.mode,
        seed=wish.seed,
        seconds=0.0,
        books=books,
        verdict=judge(books),
        faults=faults.counts(),
        rolled_back=sum(map(len, rolled_back)),
        duplicates=sum(_count(found.processes[name].log, _DISCARDED) for name in found.workers),
        recovery=recovery,
        longest_silence=silence.total_seconds() if silence else 0.0,
        missed=len(faults.missed),
        retried=_numbers(found, "SELECT count(*) FROM ledger_effect WHERE attempt > 1")[0],
        trouble=faults.trouble,
        restarts={name: _restarts(found, name) for name in found.processes},
    )
    _write_evidence(found, report)
    return report


def _numbers(found: Stage, sql: str) -> list[int]:
    return [int(row[0]) for row in found.rows(sql)]


def _drain(found: Stage, queue: str) -> list[tuple[str, int]]:
    """Take everything out of a queue and return keys and numbers; all of it goes to the run's folder."""
    numbers: list[tuple[str, int]] = []
    while messages := found.broker.get_messages(queue, 500, requeue=False):
        with (found.folder / f"left-in-{queue}.json").open("a") as left:
            for message in messages:
                numbers.append(_key_and_number(message["payload"]))
                left.write(json.dumps(message) + "\n")
    return numbers


def _key_and_number(payload: Any) -> tuple[str, int]:
    try:
        body = json.loads(payload)
        return str(body.get("key", "")), int(body["number"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", -1


def _count(log: Path, words: bytes) -> int:
    with log.open("rb") as lines:
        return sum(words in line for line in lines)


def _restarts(found: Stage, name: str) -> str:
    process = found.processes[name]
    words = f"started {process.starts} times"
    if process.ended_by_itself:
        words += f", ended by itself {process.ended_by_itself} times"
    if process.ended_by_probe:
        words += f", ended for its liveness probe {process.ended_by_probe} times"
    return words


def _write_evidence(found: Stage, report: Report) -> None:
    """Leave the rows of what did not arrive as it should next to the logs."""
    verdict = report.verdict
    wrong = [*verdict.lost, *verdict.doubled, *(n for numbers in verdict.stuck.values() for n in numbers)][:200]
    if not wrong:
        return
    listed = ",".join(map(str, wrong))
    published = found.rows(
        f"SELECT row_to_json(published)::text FROM published WHERE (body ->> 'number')::bigint IN ({listed})"
    )
    effects = found.rows(f"SELECT row_to_json(ledger_effect)::text FROM ledger_effect WHERE number IN ({listed})")
    (found.folder / "rows.json").write_text("\n".join(row[0] for row in [*published, *effects]) + "\n")


def _folder(wish: Wish) -> Path:
    base = state_directory() / "chaos"
    folder = base / f"{wish.library.name}-{wish.brokers}-seed-{wish.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _keep_or_remove(report: Report, folder: Path) -> None:
    """Keep the logs of a run that went wrong; of a good one the account is enough."""
    if report.good:
        for path in folder.iterdir():
            path.unlink()
    (folder / "ledger.txt").write_text("\n".join(report.lines()) + "\n")
    (folder / "ledger.json").write_text(report.as_json() + "\n")
