"""One run: start everything, break and change it as planned, let it settle, and take the account."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos.operator import audit, scene
from tests.chaos.operator.faults import Faults
from tests.chaos.operator.plan import make_plan
from tests.chaos.operator.report import Report
from tests.chaos.operator.stage import RESYNC_SECONDS, Stage, stage
from tests.chaos.operator.truth import complaints
from tests.chaos.processes import Supervisor
from tests.chaos.run import Clock
from tests.rig.paths import state_directory
from tests.rig.waiting import RigError, RigTimeoutError, wait_until

if TYPE_CHECKING:
    from pathlib import Path

PROGRESS_EVERY_SECONDS: Final = 15.0
_PATIENCE: Final = 3.0
"""A plan that takes so many times its time has got stuck."""
_PATIENCE_AT_LEAST: Final = 240.0
_START_SECONDS: Final = 240.0
_QUIET_SECONDS: Final = 2.0 * RESYNC_SECONDS
_QUIET_TRIES: Final = 5


@dataclass(frozen=True)
class Wish:
    """What to run; times in seconds."""

    seed: int
    faults: int
    seconds: float
    resources: int
    settle: float


def run(wish: Wish) -> Report:
    """Run once and return the account; the logs stay where the run prints when it is not a good one."""
    clock = Clock()
    folder = state_directory() / "chaos-operator" / f"seed-{wish.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"{wish.faults} faults and changes of {wish.resources} resources in {wish.seconds:.0f} s, SEED={wish.seed}")
    with stage(folder, wish.resources) as found:
        clock.say("the servers are up and the resources made")
        report = _run_on(found, wish, clock)
    report.seconds = clock.elapsed()
    _keep_or_remove(report, folder)
    return report


def _run_on(found: Stage, wish: Wish, clock: Clock) -> Report:
    plan = make_plan(wish.seed, wish.faults, wish.seconds, found.resources, scene.SECRETS, scene.WORKLOADS)
    with Supervisor(list(found.operators.values())) as supervisor:
        for process in found.operators.values():
            process.start()
        if _settled(found, _START_SECONDS, clock) is None:
            raise RigError(f"nothing was broken yet, and the cluster is wrong: {complaints(found.snapshot())[:5]}")
        clock.say("two operators are up, and the cluster is what the resources say")
        faults = Faults(plan, found)
        faults.start()
        _wait_for_the_end(faults, wish, clock)
        faults.end()
        # It would look again only after a growing delay, and nothing of it is on trial.
        found.server.restart_controller_manager()
        clock.say("the last fault is over, settling")
        recovery = _settled(found, wish.settle, clock, since=faults.last_end)
        restless = [] if recovery is None else _restless(found)
        # Not one more look: the controller-manager, just restarted, may report on a Deployment a moment before it.
        if recovery is not None and _settled(found, _QUIET_SECONDS, clock) is None:
            recovery = None
        wrong = complaints(found.snapshot()) if recovery is None else []
        supervisor.end()
    for process in found.operators.values():
        process.stop(20)
    return _account(found, wish, faults, recovery, wrong, restless)


def _settled(found: Stage, seconds: float, clock: Clock, since: float | None = None) -> float | None:
    """Wait until the cluster is what the resources say; return the seconds that took, None when it did not happen."""
    began, wrong = time.monotonic(), [""]
    next_word = began + PROGRESS_EVERY_SECONDS

    def as_it_should_be() -> bool:
        nonlocal wrong, next_word
        wrong = complaints(found.snapshot())
        if time.monotonic() >= next_word:
            clock.say(f"{len(wrong)} differences, one of them: {wrong[0] if wrong else 'none'}")
            next_word += PROGRESS_EVERY_SECONDS
        return not wrong

    try:
        wait_until("the cluster is what the resources say", as_it_should_be, seconds=seconds, every=0.5)
    except RigTimeoutError:
        return None
    return time.monotonic() - (since or began)


def _wait_for_the_end(faults: Faults, wish: Wish, clock: Clock) -> None:
    began = next_word = time.monotonic()
    while not faults.finished() and not faults.trouble:
        if time.monotonic() > began + _PATIENCE * wish.seconds + _PATIENCE_AT_LEAST:
            faults.trouble.append(f"not done after {time.monotonic() - began:.0f} s: {sorted(faults.under_way)}")
            return
        if time.monotonic() >= next_word:
            clock.say(f"faults {len(faults.done):3}/{len(faults.plan)}  {'; '.join(sorted(faults.under_way))}")
            next_word += PROGRESS_EVERY_SECONDS
        time.sleep(0.5)


def _restless(found: Stage) -> list[str]:
    """Return what the operators write, apart from the Lease, while nobody else does anything.

    A controller-manager that has just been started may still report on Deployments: what follows from that is no
    fault, and the time counts for nothing. Should the cluster never come to rest, the last writes are returned.
    """

    def written() -> list[audit.Write]:
        lines = found.server.audit_log.read_text().splitlines()
        return [write for write in audit.writes(lines) if write.resource != "leases"]

    writes: list[audit.Write] = []
    for _ in range(_QUIET_TRIES):
        before, versions = len(written()), found.snapshot().versions("Publisher", "Subscription")
        time.sleep(_QUIET_SECONDS)
        writes = written()[before:]
        if not writes or found.snapshot().versions("Publisher", "Subscription") == versions:
            break
    return [f"{write.user}: {write.verb} {write.resource} {write.name}" for write in writes]


def _account(
    found: Stage, wish: Wish, faults: Faults, recovery: float | None, wrong: list[str], restless: list[str]
) -> Report:
    written = audit.writes(found.server.audit_log.read_text().splitlines())
    return Report(
        seed=wish.seed,
        seconds=0.0,
        resources=wish.resources,
        faults=faults.counts(),
        missed=len(faults.missed),
        recovery=recovery,
        complaints=wrong,
        second_writers=[str(write) for write in audit.second_writers(written)],
        tenures=audit.tenures(written),
        writes=audit.counts(written),
        restless=restless,
        restarts={
            name: f"started {process.starts} times, ended by itself {process.ended_by_itself} times, "
            f"for its liveness probe {process.ended_by_probe} times"
            for name, process in found.operators.items()
        },
        trouble=faults.trouble,
    )


def _keep_or_remove(report: Report, folder: Path) -> None:
    """Keep the logs of a run that went wrong; of a good one the account is enough."""
    if report.good:
        for path in folder.iterdir():
            path.unlink()
    (folder / "account.txt").write_text("\n".join(report.lines()) + "\n")
    (folder / "account.json").write_text(report.as_json() + "\n")
