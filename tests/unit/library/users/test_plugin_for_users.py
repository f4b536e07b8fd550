"""The pytest plugin in a project of its own: found by its entry point in the installed wheel, silent where unused."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = {
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = shop.settings\nfilterwarnings = error\n",
    "shop/__init__.py": "",
    "shop/settings.py": """
SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["django_outbox", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "shop/models.py": """
from django.db import models
from django_outbox import Config, publish


@publish([Config(destination="/topic/order.placed", fields=["customer"])])
class Order(models.Model):
    customer = models.CharField(max_length=100)
""",
    "test_shop.py": """
import pytest
from django.test import TestCase
from django_outbox.testing import assert_published, capture_outbox, deliver
from shop.models import Order


class OrderTests(TestCase):
    def test_the_block(self):
        with capture_outbox() as outbox:
            Order.objects.create(customer="Ada")
        outbox.assert_published("/topic/order.placed", body={"customer": "Ada"}, count=1)


@pytest.mark.django_db
def test_the_fixtures(outbox, outbox_broker):
    Order.objects.create(customer="Ada")
    outbox.assert_published("/topic/order.placed")
    assert_published("/topic/order.placed", body={"customer": "Ada"})
    seen = []
    deliver(lambda payload: (seen.append(payload.body), payload.save()), "/topic/order.placed", broker=outbox_broker)
    assert [body["customer"] for body in seen] == ["Ada"]


@pytest.mark.django_db
def test_a_failed_assertion_shows_what_there_was(outbox):
    Order.objects.create(customer="Ada")
    with pytest.raises(AssertionError, match="body\\\\['customer'\\\\] is 'Ada', not 'Bob'"):
        outbox.assert_published(body={"customer": "Bob"})
""",
}
UNUSED = """
import sys


def test_nothing_is_loaded(request):
    assert request.config.pluginmanager.hasplugin("django_outbox"), "the entry point was not read"
    assert [name for name in sys.modules if name.split(".")[0] in ("django", "stomp")] == []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project's files."""
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def _pytest(python: Path, folder: Path, *options: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DJANGO"))}
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_that_installed_the_wheel_is_served(users_python: Path, folder: Path) -> None:
    assert "3 passed" in _pytest(users_python, folder, "-q")


def test_the_fixtures_say_what_they_are_for(users_python: Path, folder: Path) -> None:
    listed = _pytest(users_python, folder, "--fixtures")
    assert "outbox -- " in listed
    assert "The messages that the test has written so far" in listed
    assert "outbox_broker -- " in listed


def test_a_project_that_does_not_use_it_notices_nothing(users_python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(UNUSED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    assert "1 passed" in _pytest(users_python, tmp_path, "-q", "-p", "no:django")


def test_it_can_be_switched_off(users_python: Path, folder: Path) -> None:
    (folder / "test_shop.py").write_text("def test_nothing():\n    pass\n")
    listed = _pytest(users_python, folder, "--fixtures", "-p", "no:django_outbox")
    assert "outbox_broker" not in listed
