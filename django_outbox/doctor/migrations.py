"""Which migrations of a project are not applied: asked before a worker starts, and while one waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

APP_LABEL = "django_outbox_pattern"
_NO_DATABASE = "django.db.backends.dummy"
_SHOWN = 5


def pending(using: str) -> list[str]:
    """Return what `manage.py migrate` would apply, as ``app.name``; raises Django's errors of the database.

    The default database is asked for every app. Another one that holds the outbox is asked for the outbox only, since
    a router may keep other apps out of it.
    """
    missing = [] if using == DEFAULT_DB_ALIAS else pending_of(connections[using], APP_LABEL)
    default = connections[DEFAULT_DB_ALIAS]
    if default.settings_dict["ENGINE"] != _NO_DATABASE:
        missing += pending_of(default)
    return sorted(set(missing))


def pending_of(connection: BaseDatabaseWrapper, app: str | None = None) -> list[str]:
    """Return what is not applied in one database, of one app or of all."""
    executor = MigrationExecutor(connection)
    targets = [node for node in executor.loader.graph.leaf_nodes() if app in (None, node[0])]
    plan = executor.migration_plan(targets)
    return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]


def in_words(missing: list[str]) -> str:
    """Return the names of migrations, not too many of them."""
    others = len(missing) - _SHOWN
    return ", ".join(missing[:_SHOWN]) + (f" and {others} more" if others > 0 else "")
