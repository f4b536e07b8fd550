"""The examples of docs/testing.md run, in a pytest of their own, with the README's order and callback."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXAMPLES = PYTHON.findall((ROOT / "docs" / "testing.md").read_text("utf-8"))
CALLBACK = next(code for code in PYTHON.findall((ROOT / "README.md").read_text("utf-8")) if "def bill_order" in code)

# The project of the documentation, out of the models of our tests.
CONFTEST = f"""
import sys
import types


def pytest_configure(config):
    from django.db import transaction
    from tests.django_project.events.models import Invoice, Order

    callbacks = {{"transaction": transaction, "Invoice": Invoice}}
    exec({CALLBACK!r}, callbacks)
    for name, contents in {{
        "orders.models": {{"Order": Order}},
        "billing.models": {{"Invoice": Invoice}},
        "billing.callbacks": callbacks,
    }}.items():
        for module in (name.partition(".")[0], name):
            sys.modules.setdefault(module, types.ModuleType(module))
        vars(sys.modules[name]).update(contents)
"""


def test_every_example_passes(tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 8
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for number, code in enumerate(EXAMPLES):
        (tmp_path / f"test_example_{number}.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(tmp_path / "pytest.ini"), "-p", "no:asyncio"]
    command += ["--ds=tests.django_project.settings", "-W", "error", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(EXAMPLES)} passed" in done.stdout
