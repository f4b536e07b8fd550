"""Run what versions matter to on other versions of Django, stomp.py and the drivers: `make test-versions`.

The sets of versions are the dependency groups `versions-*` of pyproject.toml; the versions of `make test` are in the
group `runtime`. All sets run side by side, each with servers of its own, and what each printed is shown at its end.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.rig.versions import VersionSet, version_sets
from tests.rig.waiting import RigError

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".rig" / "reports"

_LIBRARY = "tests/integration/library"
# All that runs without a server, and of the real ones what goes through most of Django, the drivers and stomp.py.
TESTS = (
    "tests/unit/library",
    "tests/contract",
    f"{_LIBRARY}/publish/test_publishers_side_by_side.py",
    f"{_LIBRARY}/publish/test_wake_up.py",
    f"{_LIBRARY}/publish/test_what_it_costs.py",
    f"{_LIBRARY}/consume/test_batches_take_effect_once.py",
    f"{_LIBRARY}/consume/test_messages_take_effect_once.py",
    f"{_LIBRARY}/consume/test_queues_are_declared_as_before.py",
)


def main(arguments: list[str]) -> int:
    """Run every set; returns 1 when one of them failed."""
    return int(bool(failures(arguments)))


def failures(arguments: list[str]) -> dict[Path, int]:
    """Run every set; returns pytest's exit code of each that failed, by its junit report."""
    failed: dict[Path, int] = {}
    with ThreadPoolExecutor() as pool:
        runs = {pool.submit(_run, versions, arguments): versions for versions in version_sets()}
        for done in as_completed(runs):
            code, text = done.result()
            print(text, flush=True)
            if code:
                failed[_report_of(runs[done])] = code
    return failed


def _report_of(versions: VersionSet) -> Path:
    """The junit report of a set."""
    return REPORTS / f"versions-{versions.name}.xml"


def _run(versions: VersionSet, arguments: list[str]) -> tuple[int, str]:
    """Run pytest on a set to its end; returns its exit code and what there is to read."""
    started = time.monotonic()
    try:
        versions.install()
    except RigError as error:
        return 1, f"{versions.name}: {error}"
    options = [f"--junitxml={_report_of(versions)}", "--override-ini=junit_family=xunit1", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *TESTS, *options, *arguments],
        cwd=ROOT,
        env=versions.environment(),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.monotonic() - started
    return ended.returncode, f"{ended.stdout}{versions.name} ({', '.join(versions.pins)}): {seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
