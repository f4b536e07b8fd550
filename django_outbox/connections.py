"""The database connections of a thread that runs callbacks.

Django closes connections at the end of a request; a worker thread has none. With ``CONN_MAX_AGE=0``, Django's default,
closing after each message would cost a new connection per message: a busy thread keeps it, an idle one does not.
Nothing here raises: a connection that fails while it is being closed is gone all the same, and the thread goes on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import Error as DatabaseTrouble
from django.db import connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("django_outbox_pattern.consumer")


def refresh() -> None:
    """Before a message: drop the connections that no longer work or are past their age, keep the others."""
    for connection in connections.all(initialized_only=True):
        ends_with_request = connection.settings_dict["CONN_MAX_AGE"] == 0
        close_at = connection.close_at
        if ends_with_request:
            connection.close_at = None
        _drop_if_done_with(connection)
        if ends_with_request:
            connection.close_at = close_at


def release() -> None:
    """When there is nothing to do: let go what Django would at the end of a request."""
    for connection in connections.all(initialized_only=True):
        _drop_if_done_with(connection)


def close_all() -> None:
    """At the end of the thread: close what it opened."""
    for connection in connections.all(initialized_only=True):
        try:
            connection.close()
        except DatabaseTrouble as error:
            _note(connection, error)


def _drop_if_done_with(connection: BaseDatabaseWrapper) -> None:
    try:
        connection.close_if_unusable_or_obsolete()
    except DatabaseTrouble as error:
        _note(connection, error)


def _note(connection: BaseDatabaseWrapper, error: Exception) -> None:
    logger.info("The connection to the database %r failed while it was closed: %s", connection.alias, error)
