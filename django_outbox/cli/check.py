"""``outbox check CALLBACK``: would ``subscribe`` start with this callback? Asks neither broker nor database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_outbox import checks
from django_outbox.batching import batching_of
from django_outbox.callbacks import import_callback, signature_problem
from django_outbox.cli import FINE, WRONG_USAGE
from django_outbox.cli.arguments import add_json
from django_outbox.exceptions import ConfigurationError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.batching import Batching
    from django_outbox.cli.output import Output

HELP = "import a callback and hold it to what `subscribe` needs"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("callback", metavar="CALLBACK", help="dotted path of the function, like billing.callbacks.bill")
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Exit code 0 when the callback and the settings can work, else 1 with one line that says what cannot."""
    path = options["callback"]
    problem, batching = _look_at(path)
    out.document({"callback": path, "ok": problem is None, "problem": problem, "batch": _batch(batching)})
    if problem is None:
        out.line(f"{path} can be subscribed with{_in_words(batching)}.")
        return FINE
    out.warn(problem)
    return WRONG_USAGE


def _look_at(path: str) -> tuple[str | None, Batching | None]:
    """Return why the callback cannot be subscribed with, None when it can, and how it takes batches."""
    problem = checks.first_error()
    if problem is not None:
        return problem, None
    try:
        callback = import_callback(path)
    except ConfigurationError as error:
        return " ".join(str(error).split()), None
    return signature_problem(path, callback), batching_of(callback)


def _batch(batching: Batching | None) -> dict[str, float] | None:
    return None if batching is None else {"size": batching.most, "wait": batching.seconds}


def _in_words(batching: Batching | None) -> str:
    if batching is None:
        return ""
    return f", {batching.most} messages at a time, of which the first waits {batching.seconds:g} s for the others"
