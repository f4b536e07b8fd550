"""The example's services pass their own tests, run as their own Django projects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHOP = ROOT / "examples" / "shop"


def manage(service: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a management command of one of the services on SQLite in memory."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": f"{service}.settings",
        "DATABASE_URL": "sqlite:///:memory:",
        "SECRET_KEY": "tests-only",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=SHOP, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("service", ["orders", "billing"])
def test_a_service_of_the_example_passes_its_own_tests(service: str) -> None:
    done = manage(service, "test", service, "--verbosity", "2")
    assert done.returncode == 0, done.stderr
    assert "Ran 0 tests" not in done.stderr


@pytest.mark.parametrize("service", ["orders", "billing"])
def test_a_service_of_the_example_has_a_migration_for_each_model(service: str) -> None:
    done = manage(service, "makemigrations", "--check", "--dry-run", service)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", ["orders", "billing"])
def test_a_service_of_the_example_passes_djangos_checks(service: str) -> None:
    done = manage(service, "check", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
