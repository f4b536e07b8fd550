"""Settings of the billing service: writes an invoice for each order it hears of. It serves no HTTP of its own."""

from __future__ import annotations

from common import environment

SECRET_KEY = environment.text("SECRET_KEY")
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": environment.database()}
INSTALLED_APPS = ["django_outbox", "billing"]
DJANGO_OUTBOX_PATTERN = environment.outbox()
LOGGING = environment.console_logging()
