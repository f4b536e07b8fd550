"""Run what versions matter to on other versions of Django, stomp.py and the drivers: `make test-versions`.

The sets of versions are the dependency groups `versions-*` of pyproject.toml; the versions of `make test` are in the
group `runtime`. All sets run side by side, each with servers of its own, and what each printed is shown at its end.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig.versions import VersionSet, version_sets
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@dataclass(frozen=True)
class Ended:
    """How pytest ended on one set: its exit code, its junit report, and what there is to read."""

    code: int
    report: Path
    text: str


def main(arguments: list[str]) -> int:
    """Run every set; returns 1 when one of them failed."""
    codes = []
    for ended in run(arguments):
        print(ended.text, flush=True)
        codes.append(ended.code)
    return int(any(codes))


def run(arguments: list[str]) -> Iterator[Ended]:
    """Run every set; yields how each ended, as they end."""
    with ThreadPoolExecutor() as pool:
        for done in as_completed([pool.submit(_run, versions, arguments) for versions in version_sets()]):
            yield done.result()


def _report_of(versions: VersionSet) -> Path:
    """The junit report of a set."""
    return REPORTS / f"versions-{versions.name}.xml"


def _run(versions: VersionSet, arguments: list[str]) -> Ended:
    """Run pytest on a set to its end."""
    started, report = time.monotonic(), _report_of(versions)
    try:
        versions.install()
    except RigError as error:
        return Ended(1, report, f"{versions.name}: {error}")
    options = [f"--junitxml={report}", "--override-ini=junit_family=xunit1", "-p", "no:cacheprovider"]
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
    return Ended(
        ended.returncode, report, f"{ended.stdout}{versions.name} ({', '.join(versions.pins)}): {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
