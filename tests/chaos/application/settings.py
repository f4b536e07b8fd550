"""Settings of the fault ledger's application: the run gives database and broker in the environment, as JSON."""

from __future__ import annotations

import json
import os
from typing import Any

SECRET_KEY = "chaos-only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django_outbox_pattern", "ledger"]
DATABASES: dict[str, Any] = {"default": json.loads(os.environ["CHAOS_DATABASE"])}
DJANGO_OUTBOX_PATTERN: dict[str, Any] = json.loads(os.environ["CHAOS_OUTBOX"])
for _name in ("DEFAULT_STOMP_HEARTBEATS", "DEFAULT_STOMP_HOST_AND_PORTS"):
    # JSON has no tuples, and stomp.py wants them.
    DJANGO_OUTBOX_PATTERN[_name] = [
        tuple(value) if isinstance(value, list) else value for value in DJANGO_OUTBOX_PATTERN[_name]
    ]
DJANGO_OUTBOX_PATTERN["DEFAULT_STOMP_HEARTBEATS"] = tuple(DJANGO_OUTBOX_PATTERN["DEFAULT_STOMP_HEARTBEATS"])
# Of each so many messages one fails at its first try; 0: none does.
CHAOS_FAILS: int = int(os.environ["CHAOS_FAILS"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"timed": {"format": "{asctime} {threadName} {levelname} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "timed"}},
    "loggers": {
        name: {"handlers": ["console"], "level": "INFO", "propagate": False}
        for name in ("django_outbox_pattern", "stomp.py")
    },
}
