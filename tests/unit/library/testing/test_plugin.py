"""The pytest plugin is found by its entry point, serves its fixtures, and does nothing where nobody asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[4]
WITH_DJANGO = ["--ds=tests.django_project.settings"]

USES_FIXTURES = """
import pytest
from django_outbox import enqueue
from django_outbox.testing import deliver

@pytest.mark.django_db
def test_both(outbox, outbox_broker):
    enqueue("/topic/x", {"key": "a"})
    outbox.assert_published("/topic/x", count=1)
    seen = []
    deliver(lambda payload: (seen.append(payload.body), payload.save()), "/topic/x", broker=outbox_broker)
    assert seen == [{"key": "a"}]

@pytest.mark.django_db
def test_the_next_test_starts_with_nothing(outbox, outbox_broker):
    outbox.assert_nothing_published()
    assert not outbox_broker.messages

def test_without_the_database_nothing_is_read(outbox):
    pass
"""
UNUSED = """
import sys

def test_nothing_of_djangos_is_loaded():
    loaded = {"django_outbox.testing.plugin"} & sys.modules.keys()
    assert loaded, "the entry point was not read"
    heavy = [name for name in sys.modules if name.split(".")[0] in ("django", "stomp")]
    ours = [name for name in sys.modules if name.startswith("django_outbox.") and ".testing" not in name]
    assert (heavy, ours) == ([], [])
"""


def _pytest(folder: Path, code: str, *options: str) -> str:
    (folder / "test_user.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(folder / "pytest.ini"), "-W", "error"]
    command += ["-p", "no:randomly", "-p", "no:asyncio", *options, str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixtures_serve_a_project_that_installed_the_package(tmp_path: Path) -> None:
    assert "3 passed" in _pytest(tmp_path, USES_FIXTURES, *WITH_DJANGO)


def test_a_project_without_django_settings_notices_nothing(tmp_path: Path) -> None:
    assert "1 passed" in _pytest(tmp_path, UNUSED, "-p", "no:django", "-p", "no:hypothesispytest")
