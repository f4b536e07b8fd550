"""``manage.py publish``: send what is in the outbox until asked to stop.

Exit codes: 0 asked to stop, 1 a configuration that cannot work (the last line on stderr says what to do), 2 gave up
with work still in flight.
"""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as DatabaseTrouble
from prometheus_client import REGISTRY

import django_outbox
from django_outbox import checks, metrics, settings, store, wakeup
from django_outbox.exceptions import BrokerRefused, BrokerUnavailable, OutboxError
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.relay import Relay, RelayOptions
from django_outbox.retention import Janitor
from django_outbox.server import PortUnavailableError, WorkerServer
from django_outbox.transport.publishing import StompTransport
from django_outbox.transport.traced import TracedTransport

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.store import DestinationBacklog

logger = logging.getLogger("django_outbox_pattern")


class Command(BaseCommand):
    """Arguments and wiring; the work is done by ``relay.Relay``."""

    help = "Send the messages in the outbox to the broker until asked to stop (SIGTERM or Ctrl-C)."
    # Only our own checks matter to a worker, and their words must be the last line on stderr.
    requires_system_checks: Any = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options; each defaults to a setting."""
        parser.add_argument("--batch-size", type=int, help="rows sent at a time (default: PUBLISH_BATCH_SIZE, 500)")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="alias of the database that holds the outbox")
        parser.add_argument(
            "--metrics-port", type=int, help="port of /metrics, /livez and /readyz (default: METRICS_PORT, none)"
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Run a relay."""
        using, batch_size = options["database"], options["batch_size"]
        self._refuse_bad_configuration(using, batch_size)
        port = settings.METRICS_PORT if options["metrics_port"] is None else options["metrics_port"]
        health = Health("publisher", needs=("broker", "database"))
        metrics.describe_worker("publisher", django_outbox.__version__)
        # Without a series nobody would be told of a publisher that never gets through.
        for broker, broker_port in settings.DEFAULT_STOMP_HOST_AND_PORTS:
            metrics.BROKER_CONNECTED.labels(host=f"{broker}:{broker_port}").set(0)
        with ExitStack() as stack:
            stop = stack.enter_context(StopSignal())
            if port is not None:
                self._serve(stack, health, port, using)
            relay = Relay(
                TracedTransport(StompTransport()), stop, health, RelayOptions.from_settings(using, batch_size)
            )
            if wakeup.works_with(using):
                stack.enter_context(wakeup.Listener(using, relay.wake))
            self._first_connection(relay)
            stack.enter_context(Janitor.of_published(using))
            logger.info("Waiting for messages to be published")
            code = relay.run()
        if code:
            sys.exit(code)
        logger.info("I'm not waiting for messages anymore")

    def _refuse_bad_configuration(self, using: str, batch_size: int | None) -> None:
        problem = checks.first_error()
        if problem is not None:
            raise CommandError(problem)
        if using not in connections:
            raise CommandError(f"There is no database {using!r} in DATABASES. Give one that is with --database.")
        if batch_size is not None and batch_size < 1:
            raise CommandError(f"--batch-size must be 1 or more, not {batch_size}.")
        try:
            problem = store.schema_problem(using)
        except DatabaseTrouble as error:
            # A database that is away now may be there in a moment; the relay waits for it.
            logger.warning("The database does not answer yet: %s", error)
            connections[using].close()
        if problem is not None:
            raise CommandError(problem)

    def _serve(self, stack: ExitStack, health: Health, port: int, using: str) -> None:
        try:
            stack.enter_context(WorkerServer(health, port))
        except PortUnavailableError as error:
            raise CommandError(str(error)) from error
        collector = metrics.export_backlog(lambda: _read_backlog(using))
        stack.callback(REGISTRY.unregister, collector)

    def _first_connection(self, relay: Relay) -> None:
        """Refuse to start with a login that the broker refuses; one that is away is waited for."""
        try:
            relay.connect()
        except BrokerUnavailable as error:
            logger.warning("%s", error)
        except (BrokerRefused, OutboxError) as error:
            raise CommandError(str(error)) from error


def _read_backlog(using: str) -> list[DestinationBacklog]:
    """Read on the server's thread, which has a database connection of its own to close."""
    try:
        return store.backlog(using)
    finally:
        connections[using].close()
