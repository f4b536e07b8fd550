"""The orders app."""

from __future__ import annotations

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders and the events about them."""

    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"
