"""``outbox check CALLBACK``: would ``subscribe`` start with this callback? Asks neither broker nor database."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from django_outbox import checks
from django_outbox.callbacks import import_callback
from django_outbox.cli import FINE, WRONG_USAGE
from django_outbox.cli.arguments import add_json
from django_outbox.exceptions import ConfigurationError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.cli.output import Output
    from django_outbox.subscription import Callback

HELP = "import a callback and hold it to what `subscribe` needs"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("callback", metavar="CALLBACK", help="dotted path of the function, like billing.callbacks.bill")
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Exit code 0 when the callback and the settings can work, else 1 with one line that says what cannot."""
    path = options["callback"]
    problem = _problem(path)
    out.document({"callback": path, "ok": problem is None, "problem": problem})
    if problem is None:
        out.line(f"{path} can be subscribed with.")
        return FINE
    out.warn(problem)
    return WRONG_USAGE


def _problem(path: str) -> str | None:
    problem = checks.first_error()
    if problem is not None:
        return problem
    try:
        callback = import_callback(path)
    except ConfigurationError as error:
        return " ".join(str(error).split())
    return _signature_problem(path, callback)


def _signature_problem(path: str, callback: Callback) -> str | None:
    """Tell why the callback cannot be called with one payload; what has no signature is given the benefit of doubt."""
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(object())
    except TypeError as error:
        return f"'{path}{signature}' cannot be called with a payload: {error}. Let it take exactly one argument."
    return None
