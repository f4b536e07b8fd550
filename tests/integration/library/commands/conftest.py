"""The project of the publisher's tests, for the commands that people run."""

from __future__ import annotations

from tests.integration.library.publish.conftest import empty_project, migrated_template, project, queue

__all__ = ["empty_project", "migrated_template", "project", "queue"]
