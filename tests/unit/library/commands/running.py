"""Run a subcommand as a program would, and hold what came of it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from django.core.management import CommandError, call_command


@dataclass
class Ended:
    """A subcommand that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


def outbox(*arguments: str) -> Ended:
    """Run ``manage.py outbox`` with these arguments; a ``CommandError`` becomes its exit code and words."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("outbox", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return Ended(error.returncode, out.getvalue(), str(error))
    except SystemExit as ended:
        return Ended(int(ended.code or 0), out.getvalue(), err.getvalue())
    return Ended(0, out.getvalue(), err.getvalue())
