"""Type checkers of those who use the library find its types under the new name and no error under the old."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

REPOSITORY = Path(__file__).parents[4]
USER = """
import django_outbox
from django_outbox import enqueue
from django_outbox_pattern.decorators import Config, publish
from django_outbox_pattern.models import Published
reveal_type(enqueue)
"""


def test_both_names_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user.py").write_text(USER)
    monkeypatch.setenv("MYPYPATH", str(REPOSITORY))
    command = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "user.py"]
    command.append("--follow-imports=silent")
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout
    assert "destination: str" in done.stdout or "destination: builtins.str" in done.stdout, done.stdout
