"""An application on some database and broker: a process of the tests' project that evaluates what a test asks it.

So a test sees rows through Django's own models, whatever the database, and commands cost no new process each.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import django
from django.core.management import execute_from_command_line

from django_outbox import enqueue
from django_outbox.outbox import published_model
from tests.integration.library.worker import REPOSITORY
from tests.rig.waiting import tail

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "tests.integration.conformance.application"


@dataclass(frozen=True)
class Command:
    """How a management command ended."""

    code: int
    text: str
    errors: str

    def document(self, code: int = 0) -> dict[str, Any]:
        """The JSON that it printed, after it ended with this exit code."""
        assert self.code == code, f"exit code {self.code}\n{self.text}\n{self.errors}"
        document: dict[str, Any] = json.loads(self.text)
        return document


@dataclass
class Application:
    """The process, seen from the tests."""

    environment: dict[str, str]
    log: Path
    _process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                cwd=REPOSITORY,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, expression: str, **names: Any) -> Any:
        """Evaluate an expression there, with these names besides those of ``_names``; returns its value as of JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"expression": expression, "names": names}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the application ended\n{tail(self.log)}"
        answer = json.loads(line)
        assert "error" not in answer, f"{expression}\n{answer['error']}"
        return answer["value"]

    def manage(self, *arguments: str) -> Command:
        """Run a management command to its end, however that is."""
        return Command(*self.ask("manage(arguments)", arguments=arguments))

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _manage(arguments: list[str]) -> tuple[int, str, str]:
    out, errors, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            execute_from_command_line(["manage.py", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), errors.getvalue()


def _fill(destination: str, count: int, keys: int | None) -> int:
    """Write events as an application does, numbered; the key is the number modulo ``keys``."""
    model = published_model()
    rows = (
        model(destination=destination, body={"n": number}, key=f"key {number % keys}" if keys else None)
        for number in range(count)
    )
    return len(model.objects.bulk_create(rows))


def _names() -> dict[str, Any]:
    """What expressions may use."""
    django.setup()
    modules = (
        "django_outbox.models",
        "tests.django_project.events.models",
        "django.db.models",
        "django.utils.timezone",
    )
    found = {name: value for module in modules for name, value in vars(import_module(module)).items()}
    return {**found, "timedelta": timedelta, "uuid4": uuid4, "enqueue": enqueue, "manage": _manage, "fill": _fill}


def _serve() -> None:
    """Answer questions until nobody asks any more."""
    names, answers = _names(), sys.stdout
    for line in sys.stdin:
        question = json.loads(line)
        try:
            value = eval(question["expression"], {**names, **question["names"]})
            answer = {"value": value}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
