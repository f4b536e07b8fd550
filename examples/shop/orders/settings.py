"""Settings of the orders service: takes orders over HTTP and publishes each as an event."""

from __future__ import annotations

from common import environment

SECRET_KEY = environment.text("SECRET_KEY")
# The service builds no link from the Host header, and probes come with the pod's address in it.
ALLOWED_HOSTS = environment.text("ALLOWED_HOSTS", "*").split(",")
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": environment.database()}
INSTALLED_APPS = ["django_outbox", "orders"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
ROOT_URLCONF = "orders.urls"
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024  # bytes; an order is far smaller
DJANGO_OUTBOX_PATTERN = environment.outbox()
LOGGING = environment.console_logging()
