"""Read a service's configuration from environment variables; both settings modules call this.

Everything that differs between a laptop and a cluster comes in here, so the two services share one image. A missing or
unusable value stops the process at once with the variable's name and an example of what it should hold.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

ENGINES = {"postgresql": "django.db.backends.postgresql", "postgres": "django.db.backends.postgresql"}
SQLITE = "django.db.backends.sqlite3"
EXAMPLE_URL = "postgresql://orders:secret@postgres:5432/orders or sqlite:///orders.sqlite3"


def text(name: str, default: str | None = None) -> str:
    """Return a variable's value; raise ImproperlyConfigured when it is unset and has no default."""
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set; give it in the environment (see examples/shop/README.md)")
    return value


def database(name: str = "DATABASE_URL") -> dict[str, Any]:
    """Return Django's mapping of the database that a URL names; raise ImproperlyConfigured when it is no such URL."""
    url = urlsplit(text(name))
    path = unquote(url.path.removeprefix("/"))
    if url.scheme == "sqlite" and path:
        return {"ENGINE": SQLITE, "NAME": path}
    if url.scheme in ENGINES and path and url.hostname:
        return {
            "ENGINE": ENGINES[url.scheme],
            "NAME": path,
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": url.hostname,
            "PORT": str(url.port or 5432),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    # The URL itself stays out of the message: it holds a password.
    raise ImproperlyConfigured(f"{name} is not a database URL; write {EXAMPLE_URL}")


def outbox() -> dict[str, Any]:
    """Return the DJANGO_OUTBOX_PATTERN settings: where the broker is and who we are there."""
    port = text("BROKER_PORT", "61613")
    if not port.isdecimal():
        raise ImproperlyConfigured(f"BROKER_PORT is {port!r}; write the broker's STOMP port, for example 61613")
    return {
        "DEFAULT_STOMP_HOST_AND_PORTS": [(text("BROKER_HOST", "127.0.0.1"), int(port))],
        "DEFAULT_STOMP_USERNAME": text("BROKER_USERNAME", "guest"),
        "DEFAULT_STOMP_PASSCODE": text("BROKER_PASSCODE", "guest"),
        "DEFAULT_STOMP_VHOST": text("BROKER_VHOST", "/"),
    }


def console_logging() -> dict[str, Any]:
    """Return a LOGGING mapping that writes one line a record to the console, where Kubernetes collects it."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": text("LOG_LEVEL", "INFO")},
    }
