"""RabbitMQ and PostgreSQL for people: they outlive the command that started them (`python -m tests.rig servers`)."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING

from tests.rig.hostservices.common import services_directory
from tests.rig.hostservices.postgres import Postgres
from tests.rig.hostservices.rabbitmq import RabbitMQ
from tests.rig.process import Daemon

if TYPE_CHECKING:
    from pathlib import Path


def _people_state() -> Path:
    return services_directory() / "people" / "environment.json"


def servers_up() -> dict[str, str]:
    """Start both servers and leave them running; returns their environment. Running ones are kept."""
    if found := servers_environment():
        return found
    servers_down()
    base = _people_state().parent
    base.mkdir(parents=True, exist_ok=True)
    environment: dict[str, str] = {}
    for server in (RabbitMQ(base / "rabbitmq"), Postgres(base / "postgres")):
        server.start()
        environment.update(server.environment())
    _people_state().write_text(json.dumps(environment))
    return environment


def servers_environment() -> dict[str, str]:
    """The environment of the servers that `servers_up` left running; empty when one of them does not run."""
    base = _people_state().parent
    if not _people_state().exists() or None in [Daemon(n, [], base / n).pid for n in ("rabbitmq", "postgres")]:
        return {}
    found: dict[str, str] = json.loads(_people_state().read_text())
    return found


def servers_down() -> None:
    """Stop the servers of `servers_up` and remove their data."""
    base = _people_state().parent
    for folder, name, number in (
        ("rabbitmq", "rabbitmq", signal.SIGTERM),
        ("rabbitmq", "epmd", signal.SIGTERM),
        ("postgres", "postgres", signal.SIGINT),
    ):
        Daemon(name, [], base / folder).stop(seconds=40, number=number)
    shutil.rmtree(base, ignore_errors=True)
