"""Real servers on this machine, for the contract and integration tiers and for people; one module a server.

Each instance has its own directory, free loopback ports, node name and (for Erlang) its own epmd, so several test runs
on one machine do not see each other. Started as the servers' own users when the caller is root, else as the caller.
`tests.rig.pytest_services` makes fixtures of these; `python -m tests.rig servers` starts some for a person.
"""

from __future__ import annotations

from tests.rig.hostservices.activemq import ActiveMQ
from tests.rig.hostservices.artemis import Artemis
from tests.rig.hostservices.common import HOST, START_SECONDS, serving
from tests.rig.hostservices.mariadb import MariaDB
from tests.rig.hostservices.people import servers_down, servers_environment, servers_up
from tests.rig.hostservices.postgres import Postgres
from tests.rig.hostservices.rabbitmq import RabbitMQ, TlsListener

__all__ = [
    "HOST",
    "START_SECONDS",
    "ActiveMQ",
    "Artemis",
    "MariaDB",
    "Postgres",
    "RabbitMQ",
    "TlsListener",
    "servers_down",
    "servers_environment",
    "servers_up",
    "serving",
]
