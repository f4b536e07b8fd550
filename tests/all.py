"""Run every tier, side by side where they do not need each other: `make test`.

The node, its images and its tools are built (minutes when nothing is cached, seconds otherwise) while the tiers that
need only the servers of this machine run. Each group prints pytest's own closing lines; at the very end the failed
tests of all groups are named again. The exit code is 1 when any failed, or when docs/conformance.md does not say what
the tests showed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests import conformance_record, versions
from tests.recap import recap
from tools import conformance

ROOT = Path(__file__).resolve().parent.parent
BUILD_LOG = ROOT / ".rig" / "build.log"
REPORTS = ROOT / ".rig" / "reports"
BUILD_DEADLINE_SECONDS = 40 * 60

LOCAL_TIERS = ("tests/unit", "tests/contract", "tests/integration")
CLUSTER_TIERS = ("tests/chart", "tests/cluster", "tests/e2e")
# By itself: what it measures is what the faults do, not what a busy machine does.
FAULT_TIERS = ("tests/chaos",)

# The report of each group that failed, with pytest's exit code.
FAILED: dict[Path, int] = {}


def main(arguments: list[str]) -> int:
    """Build in the background, run the local tiers, then those that need what was built."""
    started = time.monotonic()
    build = _start_build()
    shutil.rmtree(REPORTS, ignore_errors=True)
    conformance_record.record().unlink(missing_ok=True)
    codes = [_pytest(LOCAL_TIERS, arguments)]
    if not arguments:  # They choose among the tests, and then cells are missing.
        codes.append(conformance.main(conformance_record.record(), ["--check"]))
    codes.append(_other_versions(arguments))
    if _build_succeeded(build):
        codes.append(_pytest(CLUSTER_TIERS, arguments))
    else:
        print(f"The rig's build failed, so {', '.join(CLUSTER_TIERS)} could not run:", flush=True)
        print(BUILD_LOG.read_text()[-8000:], flush=True)
        codes.append(1)
    codes.append(_pytest(FAULT_TIERS, arguments))
    _print_recap()
    verdict = "every tier passed" if not any(codes) else "a tier failed, see above"
    print(f"make test: {verdict}, {time.monotonic() - started:.0f} s", flush=True)
    return int(any(codes))


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
    report = REPORTS / f"{'-'.join(Path(tier).name for tier in tiers)}.xml"
    options = [f"--junitxml={report}", "--override-ini=junit_family=xunit1"]
    ended = subprocess.run([sys.executable, "-m", "pytest", *tiers, *options, *arguments], cwd=ROOT, check=False)
    if ended.returncode:
        FAILED[report] = ended.returncode
    return ended.returncode


def _other_versions(arguments: list[str]) -> int:
    failed = versions.failures(arguments)
    FAILED.update(failed)
    return max(failed.values(), default=0)


def _print_recap() -> None:
    for report, code in FAILED.items():
        print(f"\nFailed of {report.stem} (pytest's exit code {code}):", flush=True)
        print("\n".join(recap(report) or ["no test; see pytest's words above"]), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
