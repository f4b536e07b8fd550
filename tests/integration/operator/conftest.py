"""A project with a database, for what the operator asks of the outbox table."""

from __future__ import annotations

from tests.integration.library.publish.conftest import empty_project, migrated_template, project, queue

__all__ = ["empty_project", "migrated_template", "project", "queue"]
