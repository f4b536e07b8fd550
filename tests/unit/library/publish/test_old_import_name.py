"""``django_outbox_pattern`` is ``django_outbox``: whichever is imported or installed, however, and in what order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]
NAMES = ("django_outbox", "django_outbox_pattern")
PREPARE = "import django; django.setup()\n"


def _python(code: str, app: str = "django_outbox", prepare: str = PREPARE) -> str:
    """Run code in a fresh interpreter with the tests' project set up, warnings being errors; return what it printed."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.django_project.settings", "OUTBOX_TEST_APP": app}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prepare + code],
        cwd=REPOSITORY,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


MODULES = [
    "apps",
    "bases",
    "choices",
    "consumers",
    "decorators",
    "exceptions",
    "factories",
    "headers",
    "listeners",
    "management.commands.publish",
    "management.commands.subscribe",
    "migrations",
    "migrations.0001_initial",
    "models",
    "payloads",
    "producers",
    "settings",
]


@pytest.mark.parametrize("app", NAMES)
@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_every_module_is_the_same_object_under_both_names(app: str, order: tuple[str, str]) -> None:
    code = f"""
from importlib import import_module
for module in {MODULES!r}:
    first, second = (import_module(f"{{name}}.{{module}}") for name in {order!r})
    assert first is second, module
    assert first.__name__ == first.__spec__.name == f"django_outbox.{{module}}", module
    assert first.__spec__.loader is first.__loader__, module
print("same")
"""
    assert _python(code, app) == "same"


@pytest.mark.parametrize("app", NAMES)
@pytest.mark.parametrize("prepare", ["import {other}\n" + PREPARE, PREPARE])
def test_the_app_works_under_either_name_in_installed_apps(app: str, prepare: str) -> None:
    code = """
from django.apps import apps
from django.core.management import call_command, get_commands
config = apps.get_app_config("django_outbox_pattern")
assert config.name == "django_outbox", config.name
assert {model.__name__ for model in config.get_models()} == {"Published", "Received"}
assert {"publish", "subscribe"} <= get_commands().keys()
call_command("makemigrations", "django_outbox_pattern", check=True, verbosity=0)
call_command("migrate", run_syncdb=True, verbosity=0)
call_command("check")
"""
    other = next(name for name in NAMES if name != app)
    assert "no issues" in _python(code, app, prepare.format(other=other))


def test_the_app_config_can_be_named_by_its_path_under_the_old_name() -> None:
    code = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["django_outbox_pattern.apps.OutboxConfig"])
import django; django.setup()
from django.apps import apps
print(apps.get_app_config("django_outbox_pattern").name)
"""
    assert _python(code, prepare="") == "django_outbox"


def test_dotted_paths_of_the_old_name_import() -> None:
    code = """
from django.utils.module_loading import import_string
from django_outbox.models import Published
assert import_string("django_outbox_pattern.models.Published") is Published
print(import_string("django_outbox_pattern.headers.generate_headers").__module__)
"""
    assert _python(code) == "django_outbox.headers"


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
def test_a_patch_of_one_name_is_seen_through_the_other(names: tuple[str, str]) -> None:
    patched, seen = names
    code = f"""
from unittest import mock
with mock.patch("{patched}.factories.factory_connection") as make:
    from {seen}.factories import factory_producer
    assert factory_producer().connection is make.return_value
with mock.patch("{patched}.settings.DEFAULT_WAIT_RETRY", 1):
    from {seen} import settings
    assert settings.DEFAULT_WAIT_RETRY == 1
assert settings.DEFAULT_WAIT_RETRY == 60
print("seen")
"""
    assert _python(code) == "seen"


def test_what_is_there_can_be_found_and_what_is_not_cannot() -> None:
    code = """
from importlib import util
import django_outbox_pattern
assert util.find_spec("django_outbox_pattern") is not None
assert util.find_spec("django_outbox_pattern.models") is not None
assert util.find_spec("django_outbox_pattern.transport.stomp") is not None
assert util.find_spec("django_outbox_pattern.nothing") is None
try:
    import django_outbox_pattern.nothing
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert _python(code) == "django_outbox_pattern.nothing"


def test_a_module_that_fails_to_import_fails_the_same_way_again() -> None:
    code = """
import sys
sys.modules["stomp.exception"] = None
for _ in range(2):
    try:
        import django_outbox_pattern.transport.stomp
    except ModuleNotFoundError as error:
        print(error.name)
assert "django_outbox_pattern.transport.stomp" not in sys.modules
"""
    assert _python(code, prepare="") == "stomp.exception\nstomp.exception"


def test_public_names_are_importable_from_either_package() -> None:
    code = """
import django_outbox, django_outbox_pattern
for name in django_outbox.__all__:
    assert getattr(django_outbox, name) is getattr(django_outbox_pattern, name), name
assert set(django_outbox.__all__) <= set(dir(django_outbox))
from django_outbox_pattern import Published, enqueue, publish
print(django_outbox_pattern.__version__ == django_outbox.__version__)
"""
    assert _python(code) == "True"


def test_importing_either_package_needs_no_django_setup() -> None:
    code = """
import django_outbox_pattern, django_outbox
from django_outbox_pattern import settings
from django_outbox_pattern.exceptions import ExceededSendAttemptsException
print(ExceededSendAttemptsException(3))
"""
    assert _python(code, prepare="") == "Exceeded send attempts: 3"
