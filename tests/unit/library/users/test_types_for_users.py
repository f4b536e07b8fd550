"""``mypy --strict`` is content with a project that uses every public name, and finds the mistakes in it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import django_outbox
from django_outbox import testing

SAMPLE = Path(__file__).parents[3] / "typing"


def test_a_strict_project_without_stubs_for_django_checks(users_python: Path, tmp_path: Path) -> None:
    project = shutil.copytree(SAMPLE, tmp_path / "project")
    command = [sys.executable, "-m", "mypy", "--config-file=mypy.ini", f"--python-executable={users_python}"]
    command += [f"--cache-dir={tmp_path / 'cache'}", "orders.py", "callbacks.py", "orders_tests.py"]
    done = subprocess.run(command, cwd=project, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"Success: no issues found in \d+ source files", done.stdout)


def test_the_project_uses_every_public_name() -> None:
    used: dict[str, set[str]] = {}
    for file in SAMPLE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                used.setdefault(node.module, set()).update(alias.name for alias in node.names)
    assert set(django_outbox.__all__) - used["django_outbox"] == set()
    assert set(testing.__all__) - used["django_outbox.testing"] == set()
