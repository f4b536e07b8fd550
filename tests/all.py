"""Run every tier, side by side where they do not need each other: `make test`.

The tests of the library mostly wait for servers, so there are two lanes: tier by tier in the one, what needs servers of
its own in the other (every broker with every database, other versions). The node, its images and its tools are built
meanwhile (minutes when nothing is cached, seconds otherwise). Each group prints pytest's own closing lines, the second
lane when the first is through; at the very end the failed tests of all groups are named again. The exit code is 1 when
any failed, or when docs/conformance.md does not say what the tests showed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import conformance_record, versions
from tests.recap import recap
from tools import conformance

ROOT = Path(__file__).resolve().parent.parent
BUILD_LOG = ROOT / ".rig" / "build.log"
REPORTS = ROOT / ".rig" / "reports"
BUILD_DEADLINE_SECONDS = 40 * 60

CONFORMANCE = "tests/integration/conformance"
LOCAL_TIERS = ("tests/unit", "tests/contract", "tests/integration", f"--ignore={CONFORMANCE}")
CLUSTER_TIERS = ("tests/chart", "tests/cluster", "tests/e2e")
# By itself: what it measures is what the faults do, not what a busy machine does.
FAULT_TIERS = ("tests/chaos",)

# The report of each group that failed, with pytest's exit code.
FAILED: dict[Path, int] = {}


def main(arguments: list[str]) -> int:
    """Build in the background, run both lanes, then what must be alone."""
    started = time.monotonic()
    shutil.rmtree(REPORTS, ignore_errors=True)
    conformance_record.record().unlink(missing_ok=True)
    build = _start_build()
    with ThreadPoolExecutor() as pool:
        beside = pool.submit(_second_lane, arguments)
        codes = [*_first_lane(build, arguments), *_told(beside.result())]
    if not arguments:  # They choose among the tests, and then cells are missing.
        codes.append(conformance.main(conformance_record.record(), ["--check"]))
    codes.append(_pytest(FAULT_TIERS, arguments))
    _print_recap()
    verdict = "every tier passed" if not any(codes) else "a tier failed, see above"
    print(f"make test: {verdict}, {time.monotonic() - started:.0f} s", flush=True)
    return int(any(codes))


def _first_lane(build: subprocess.Popen[bytes], arguments: list[str]) -> list[int]:
    codes = [_pytest(LOCAL_TIERS, arguments)]
    if _build_succeeded(build):
        return [*codes, _pytest(CLUSTER_TIERS, arguments)]
    print(f"The rig's build failed, so {', '.join(CLUSTER_TIERS)} could not run:", flush=True)
    print(BUILD_LOG.read_text()[-8000:], flush=True)
    return [*codes, 1]


def _second_lane(arguments: list[str]) -> list[versions.Ended]:
    """Run what goes beside the first lane; nothing is printed, so that neither lane cuts the other's lines."""
    report = _report((CONFORMANCE,))
    ended = subprocess.run(
        _command((CONFORMANCE,), arguments), cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    first = versions.Ended(ended.returncode, report, ended.stdout.decode(errors="replace"))
    return [first, *versions.run(arguments)]


def _told(runs: list[versions.Ended]) -> list[int]:
    """Print what the second lane has to say; returns its exit codes."""
    for run in runs:
        print(run.text, flush=True)
        if run.code:
            FAILED[run.report] = run.code
    return [run.code for run in runs]


def _start_build() -> subprocess.Popen[bytes]:
    BUILD_LOG.parent.mkdir(exist_ok=True)
    print(f"Building the node's programs and images in the background: {BUILD_LOG.relative_to(ROOT)}", flush=True)
    with BUILD_LOG.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.rig", "build"], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )


def _build_succeeded(build: subprocess.Popen[bytes]) -> bool:
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
