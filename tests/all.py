"""Run every tier, side by side where they do not need each other: `make test`.

Most tests wait for servers, so there are two lanes of about the same length. The first is printed as it goes: what the
library needs, then the node. The second is printed when both are through: every broker with every database, what needs
no server, other versions, then the operator with an API server of its own. The node, its images and its tools are built
meanwhile (minutes when nothing is cached, seconds otherwise). What has to be alone comes last. Each group ends with
pytest's own closing lines; at the very end the failed tests of all groups are named again. The exit code is 1 when any
failed, or when docs/conformance.md does not say what the tests showed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests import conformance_record, versions
from tests.recap import recap
from tools import conformance

ROOT = Path(__file__).resolve().parent.parent
BUILD_LOG = ROOT / ".rig" / "build.log"
REPORTS = ROOT / ".rig" / "reports"
BUILD_DEADLINE_SECONDS = 40 * 60

CONFORMANCE = "tests/integration/conformance"
LOCAL_TIERS = ("tests/contract", "tests/integration", f"--ignore={CONFORMANCE}")
UNIT_TIERS = ("tests/unit",)
NODE_TIERS = ("tests/e2e",)
CLUSTER_TIERS = ("tests/chart", "tests/cluster")
# By itself: what it measures is what the faults do, not what a busy machine does.
FAULT_TIERS = ("tests/chaos",)

# The report of each group that failed, with pytest's exit code.
FAILED: dict[Path, int] = {}


def main(arguments: list[str]) -> int:
    """Build in the background, run both lanes, then what must be alone."""
    started = time.monotonic()
    shutil.rmtree(REPORTS, ignore_errors=True)
    conformance_record.record().unlink(missing_ok=True)
    with ThreadPoolExecutor() as pool:
        built = pool.submit(_build)
        beside = pool.submit(_second_lane, built, arguments)
        codes = [*_first_lane(built, arguments), *_told(beside.result())]
    if not built.result():
        print(f"The rig's build failed, so {', '.join([*NODE_TIERS, *CLUSTER_TIERS])} could not run:", flush=True)
        print(BUILD_LOG.read_text()[-8000:], flush=True)
        codes.append(1)
    if not arguments:  # They choose among the tests, and then cells are missing.
        codes.append(conformance.main(conformance_record.record(), ["--check"]))
    codes.append(_pytest(FAULT_TIERS, arguments))
    _print_recap()
    verdict = "every tier passed" if not any(codes) else "a tier failed, see above"
    print(f"make test: {verdict}, {time.monotonic() - started:.0f} s", flush=True)
    return int(any(codes))


def _first_lane(built: Future[bool], arguments: list[str]) -> list[int]:
    codes = [_pytest(LOCAL_TIERS, arguments)]
    return [*codes, _pytest(NODE_TIERS, arguments)] if built.result() else codes


def _second_lane(built: Future[bool], arguments: list[str]) -> list[versions.Ended]:
    """Run what goes beside the first lane; nothing is printed, so that neither lane cuts the other's lines."""
    ended = [_unprinted(tiers, arguments) for tiers in ((CONFORMANCE,), UNIT_TIERS)]
    ended += versions.run(arguments)
    return [*ended, _unprinted(CLUSTER_TIERS, arguments)] if built.result() else ended


def _told(runs: list[versions.Ended]) -> list[int]:
    """Print what the second lane has to say; returns its exit codes."""
    for run in runs:
        print(run.text, flush=True)
        if run.code:
            FAILED[run.report] = run.code
    return [run.code for run in runs]


def _build() -> bool:
    """Build the node's programs and images; tells whether that worked out in time."""
    BUILD_LOG.parent.mkdir(exist_ok=True)
    print(f"Building the node's programs and images in the background: {BUILD_LOG.relative_to(ROOT)}", flush=True)
    command = [sys.executable, "-m", "tests.rig", "build"]
    with BUILD_LOG.open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as build:
        try:
            return build.wait(timeout=BUILD_DEADLINE_SECONDS) == 0
        except subprocess.TimeoutExpired:
            build.terminate()
            return False


def _pytest(tiers: tuple[str, ...], arguments: list[str]) -> int:
    """Run pytest on `tiers`; no test collected (exit code 5) is a failure here."""
    ended = subprocess.run(_command(tiers, arguments), cwd=ROOT, check=False)
    if ended.returncode:
        FAILED[_report(tiers)] = ended.returncode
    return ended.returncode


def _unprinted(tiers: tuple[str, ...], arguments: list[str]) -> versions.Ended:
    """Run pytest on `tiers` and keep what it prints."""
    ended = subprocess.run(
        _command(tiers, arguments), cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return versions.Ended(ended.returncode, _report(tiers), ended.stdout.decode(errors="replace"))


def _command(tiers: tuple[str, ...], arguments: list[str]) -> list[str]:
    options = [f"--junitxml={_report(tiers)}", "--override-ini=junit_family=xunit1", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", *tiers, *options, *arguments]


def _report(tiers: tuple[str, ...]) -> Path:
    """The junit report of a group."""
    return REPORTS / f"{'-'.join(Path(tier).name for tier in tiers if not tier.startswith('-'))}.xml"


def _print_recap() -> None:
    for report, code in FAILED.items():
        print(f"\nFailed of {report.stem} (pytest's exit code {code}):", flush=True)
        print("\n".join(recap(report) or ["no test; see pytest's words above"]), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
