"""``manage.py subscribe CALLBACK DESTINATION [QUEUE]``: arguments, wiring, exit code. ``consumer.py`` does the work."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseTrouble

import django_outbox
from django_outbox import checks, connections, inbox, metrics, settings
from django_outbox.callbacks import import_callback
from django_outbox.consumer import NEEDS, ROLE
from django_outbox.exceptions import OutboxError
from django_outbox.factories import factory_consumer
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.management.arguments import port_number, positive_number
from django_outbox.retention import Janitor
from django_outbox.server import PortUnavailableError, WorkerServer
from django_outbox.subscription import Subscription

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

_logger = logging.getLogger("django_outbox_pattern")


class Command(BaseCommand):
    """Consume one queue until SIGTERM, SIGINT or SIGQUIT.

    Exit codes: 0 asked to stop and drained; 1 a setting or an argument cannot work, the broker refuses the very first
    login, or a second signal; 2 callbacks were still at work when the time to drain was over.
    """

    help = "Consume a queue and run a callback for each message."
    # Only our own checks matter to a worker, and their words must be the last line on stderr.
    requires_system_checks: Any = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Describe the command line."""
        parser.add_argument("callback", help="Dotted path of the function that gets each message's Payload")
        parser.add_argument("destination", help="Where the messages come from, as STOMP writes it: /topic/orders.v1")
        parser.add_argument("queue_name", nargs="?", help="Queue to consume; default: the destination's last segment")
        parser.add_argument(
            "--prefetch", type=positive_number, help="Messages in hand at once; default: the setting CONSUMER_PREFETCH"
        )
        parser.add_argument(
            "--concurrency", type=positive_number, help="Callbacks at once; default: the setting CONSUMER_CONCURRENCY"
        )
        parser.add_argument(
            "--group",
            type=positive_number,
            help="Messages that may share a transaction; default: the setting CONSUMER_GROUP_SIZE",
        )
        parser.add_argument(
            "--metrics-port",
            type=port_number,
            help="Port of /metrics, /livez and /readyz, 0 for any free one; default: the setting METRICS_PORT",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run until told to stop; the exit code says how it ended."""
        try:
            problem = checks.first_error() or _schema_problem()
            if problem is not None:
                raise CommandError(problem)
            code = self._run(options)
        except (OutboxError, ImproperlyConfigured, PortUnavailableError) as error:
            raise CommandError(" ".join(str(error).split())) from error
        _logger.info("Consumer stopped")
        if code:
            sys.exit(code)

    def _run(self, options: dict[str, Any]) -> int:
        subscription = Subscription.create(
            import_callback(options["callback"]),
            options["destination"],
            options["queue_name"],
            prefetch=options["prefetch"],
            concurrency=options["concurrency"],
            group=options["group"],
        )
        health = Health(ROLE, NEEDS)
        port = settings.METRICS_PORT if options["metrics_port"] is None else options["metrics_port"]
        metrics.describe_worker(ROLE, django_outbox.__version__)
        with ExitStack() as stack:
            stop = stack.enter_context(StopSignal())
            if port is not None:
                stack.enter_context(WorkerServer(health, port))
            stack.enter_context(Janitor.of_received(inbox.database_of(inbox.received_class())))
            consumer = factory_consumer()
            _logger.info("Waiting for messages to be consumed...")
            return consumer.run(subscription, stop, health)


def _schema_problem() -> str | None:
    """Ask the database whether it was migrated; one that is away now may be there in a moment and is waited for."""
    try:
        return inbox.schema_problem()
    except DatabaseTrouble as error:
        _logger.warning("The database does not answer yet: %s", error)
        return None
    finally:
        connections.close_all()
