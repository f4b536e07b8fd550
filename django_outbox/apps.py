"""The Django app. Its label is the one its tables' migrations have always had, whatever name it is installed under."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Register the system checks."""

    name = "django_outbox"
    label = "django_outbox_pattern"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import what registers itself."""
        from django_outbox import checks  # noqa: F401, PLC0415 - checks need the models to be loaded
