"""What must be right before a worker replaces another: quick, and without a trace on database or broker.

It looks for what does not go away by itself: a callback that cannot be imported, a migration that is missing, a login
or a queue that the broker refuses. A database or broker that does not answer is a warning, for workers ride that out
and say so themselves; a check that failed then would keep them from coming back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from django.db import Error as DatabaseTrouble

from django_outbox import checks
from django_outbox.callbacks import import_callback, signature_problem
from django_outbox.doctor import broker, migrations, queues
from django_outbox.doctor.findings import Finding, Level, fail, ok, sentence, warn
from django_outbox.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Worker:
    """The worker that is about to start. Without a callback it is a publisher."""

    using: str
    """Alias of the database."""
    callback: str | None = None
    destination: str | None = None
    queue: str | None = None

    @cached_property
    def login(self) -> Finding:
        """Whether the broker lets it in: asked once, however many checks want to know."""
        return broker.login()


def examine(worker: Worker, wanted: frozenset[str]) -> Iterator[Finding]:
    """Yield what is found by the checks that are wanted, named by them; settings that cannot be read end it."""
    problem = checks.first_error()
    if problem is not None:
        yield fail("settings", problem, "")
        return
    for name, check in CHECKS.items():
        if name in wanted:
            yield from check(worker)


def _callback(worker: Worker) -> Iterator[Finding]:
    if worker.callback is None:
        return
    try:
        problem = signature_problem(worker.callback, import_callback(worker.callback))
    except ConfigurationError as error:
        problem = sentence(error)
    yield fail("callback", problem, "") if problem else ok("callback", f"{worker.callback} can be subscribed with.")


def _migrations(worker: Worker) -> Iterator[Finding]:
    try:
        missing = migrations.pending(worker.using)
    except DatabaseTrouble as error:
        yield warn("migrations", f"The database does not tell: {sentence(error)}", "The worker will wait for it.")
        return
    if not missing:
        yield ok("migrations", "All are applied.")
        return
    yield fail("migrations", f"Not applied: {migrations.in_words(missing)}.", "Run manage.py migrate.")


def _broker(worker: Worker) -> Iterator[Finding]:
    yield worker.login


def _queue(worker: Worker) -> Iterator[Finding]:
    if worker.destination is None or worker.login.level is not Level.OK:
        return
    subscription = queues.unattended(worker.destination, worker.queue)
    for finding in queues.examine_subscription(subscription):
        # One finding may be about the queue, another about its dead letters: both are this check's.
        yield Finding("queue", finding.level, f"{finding.name}: {finding.message}", finding.advice)


CHECKS: dict[str, Callable[[Worker], Iterator[Finding]]] = {
    "callback": _callback,
    "migrations": _migrations,
    "broker": _broker,
    "queue": _queue,
}
