"""The billing app."""

from __future__ import annotations

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Invoices."""

    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"
