"""The database connections of a thread that runs callbacks.

Django closes connections at the end of a request; a worker thread has none. With ``CONN_MAX_AGE=0``, Django's default,
closing after each message would cost a new connection per message: a busy thread keeps it, an idle one does not.
"""

from __future__ import annotations

from django.db import close_old_connections, connections


def refresh() -> None:
    """Before a message: drop the connections that no longer work or are past their age, keep the others."""
    for connection in connections.all(initialized_only=True):
        ends_with_request = connection.settings_dict["CONN_MAX_AGE"] == 0
        close_at = connection.close_at
        if ends_with_request:
            connection.close_at = None
        connection.close_if_unusable_or_obsolete()
        if ends_with_request:
            connection.close_at = close_at


def release() -> None:
    """When there is nothing to do: let go what Django would at the end of a request."""
    close_old_connections()


def close_all() -> None:
    """At the end of the thread: close what it opened."""
    connections.close_all()
