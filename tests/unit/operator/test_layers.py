"""What is decided is decided without a cluster; import-linter holds every single module to it (`make lint`)."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

SCRIPT: Final = """
import importlib, pkgutil, sys
import outbox_operator.build, outbox_operator.plan
for found in pkgutil.iter_modules(outbox_operator.build.__path__):
    importlib.import_module(f"outbox_operator.build.{found.name}")
print(*sorted(sys.modules))
"""


def test_plan_and_build_import_neither_kopf_nor_a_client() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert "outbox_operator" in imported
    assert imported & {"kopf", "kubernetes", "aiohttp", "asyncio"} == set()
