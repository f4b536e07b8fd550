"""The Django project of the tests: SQLite in memory, or the server that OUTBOX_TEST_DATABASE_URL-like variables name.

Integration tests run the commands as processes; those read the same module with the variables below set to the
PostgreSQL and RabbitMQ that the test started.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

if os.environ.get("OUTBOX_TEST_DRIVER") == "psycopg2":
    # Django takes the newer driver where it finds both.
    sys.modules["psycopg"] = None  # type: ignore[assignment]

SECRET_KEY = "tests-only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    os.environ.get("OUTBOX_TEST_APP", "django_outbox"),
    "tests.django_project.events",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "tests.django_project.urls"


def _database() -> dict[str, Any]:
    """Read the database of this process: OUTBOX_TEST_DATABASE holds Django's own mapping as JSON."""
    configured = os.environ.get("OUTBOX_TEST_DATABASE")
    if configured:
        return dict(json.loads(configured))
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


DATABASES = {"default": _database()}
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql

    # Django asks for mysqlclient, which takes a compiler to install; to our statements it is the same.
    pymysql.version_info = (2, 2, 1, "final", 0)
    pymysql.install_as_MySQLdb()
if "OUTBOX_TEST_DATABASE" not in os.environ:
    # For the tests of code that is told which database to use.
    DATABASES["other"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
DJANGO_OUTBOX_PATTERN: dict[str, Any] = json.loads(os.environ.get("OUTBOX_TEST_SETTINGS", "{}"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django_outbox_pattern": {"handlers": ["console"], "level": "INFO"}},
}
