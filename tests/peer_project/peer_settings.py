"""A Django project on django-outbox-pattern, run by the interpreter of that release's own venv.

The folder of this file is on its path and the repository is not: there ``django_outbox_pattern`` is ours.
"""

import json
import os

DATABASES = {"default": json.loads(os.environ["OUTBOX_TEST_DATABASE"])}
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql

    pymysql.version_info = (2, 2, 1, "final", 0)
    pymysql.install_as_MySQLdb()

SECRET_KEY = "tests-only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django_outbox_pattern"]
_SETTINGS = json.loads(os.environ.get("OUTBOX_TEST_SETTINGS", "{}"))
_HOSTS = [tuple(pair) for pair in _SETTINGS.get("DEFAULT_STOMP_HOST_AND_PORTS", [])]
DJANGO_OUTBOX_PATTERN = {**_SETTINGS, **({"DEFAULT_STOMP_HOST_AND_PORTS": _HOSTS} if _HOSTS else {})}
if "DEFAULT_STOMP_HEARTBEATS" in _SETTINGS:
    # JSON has no tuples, and stomp.py takes nothing else.
    DJANGO_OUTBOX_PATTERN["DEFAULT_STOMP_HEARTBEATS"] = tuple(_SETTINGS["DEFAULT_STOMP_HEARTBEATS"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django_outbox_pattern": {"handlers": ["console"], "level": "INFO"}},
}
