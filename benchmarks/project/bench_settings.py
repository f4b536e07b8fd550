"""The Django project that both products run: no logging configured, as in a new project."""

import json
import os

DATABASES = {"default": json.loads(os.environ["BENCH_DATABASE"])}
SECRET_KEY = "benchmarks-only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [os.environ["BENCH_APP"], "effects"]
_SETTINGS = json.loads(os.environ["BENCH_OUTBOX"])
DJANGO_OUTBOX_PATTERN = {
    **_SETTINGS,
    "DEFAULT_STOMP_HOST_AND_PORTS": [tuple(pair) for pair in _SETTINGS["DEFAULT_STOMP_HOST_AND_PORTS"]],
}
