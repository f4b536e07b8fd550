"""The settings' TLS, as a context of Python's: verified against the system's authorities unless told otherwise.

``transport.stomp`` asks for it when it builds a connection.
"""

from __future__ import annotations

import inspect
import ssl
from typing import Any

from django.utils.module_loading import import_string

from django_outbox import settings
from django_outbox.exceptions import ConfigurationError
from django_outbox.transport.wire import TlsSettings


def tls_settings() -> TlsSettings:
    """Return how to speak TLS. Raises ``ConfigurationError`` for files that cannot be read or do not fit."""
    protocol = settings.DEFAULT_STOMP_SSL_VERSION or ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(protocol)
    context.check_hostname = settings.DEFAULT_STOMP_SSL_VERIFY
    context.verify_mode = ssl.CERT_REQUIRED if settings.DEFAULT_STOMP_SSL_VERIFY else ssl.CERT_NONE
    if settings.DEFAULT_STOMP_CA_CERTS is None:
        context.load_default_certs()
    else:
        _require_readable("ca_certs", settings.DEFAULT_STOMP_CA_CERTS)
        _load("ca_certs", lambda: context.load_verify_locations(settings.DEFAULT_STOMP_CA_CERTS))
    if settings.DEFAULT_STOMP_CERT_FILE is not None:
        _require_readable("cert_file", settings.DEFAULT_STOMP_CERT_FILE)
        _require_readable("key_file", settings.DEFAULT_STOMP_KEY_FILE)
        arguments = (settings.DEFAULT_STOMP_CERT_FILE, settings.DEFAULT_STOMP_KEY_FILE)
        # Without a password Python would ask for one on the terminal, and a worker has nobody there.
        password = settings.DEFAULT_STOMP_SSL_PASSWORD or ""
        _load("cert_file", lambda: context.load_cert_chain(*arguments, password=password))
    return TlsSettings(context, _validator())


def arguments_of_set_ssl(connection: Any) -> dict[str, Any]:
    """Return the arguments of a connection's own ``set_ssl``: only what is set, and verified where that can be said."""
    arguments = {
        "key_file": settings.DEFAULT_STOMP_KEY_FILE,
        "cert_file": settings.DEFAULT_STOMP_CERT_FILE,
        "ca_certs": settings.DEFAULT_STOMP_CA_CERTS,
        "cert_validator": _validator(),
        "ssl_version": settings.DEFAULT_STOMP_SSL_VERSION,
        "password": settings.DEFAULT_STOMP_SSL_PASSWORD,
    }
    for name in ("key_file", "cert_file", "ca_certs"):
        _require_readable(name, arguments[name])
    if "verify" in inspect.signature(connection.set_ssl).parameters:
        arguments["verify"] = settings.DEFAULT_STOMP_SSL_VERIFY
    elif settings.DEFAULT_STOMP_SSL_VERIFY and arguments["ca_certs"] is None:
        arguments["ca_certs"] = ssl.get_default_verify_paths().cafile
    return {name: value for name, value in arguments.items() if value is not None}


def _validator() -> Any:
    validator = settings.DEFAULT_STOMP_CERT_VALIDATOR
    return import_string(validator) if isinstance(validator, str) else validator


def _load(name: str, load: Any) -> None:
    try:
        load()
    except (OSError, ValueError) as error:
        words = getattr(error, "reason", None) or error
        raise ConfigurationError(
            f"DEFAULT_STOMP_{name.upper()} cannot be used: {words}. It must be a PEM file"
            + (" that fits DEFAULT_STOMP_KEY_FILE and DEFAULT_STOMP_SSL_PASSWORD." if name == "cert_file" else ".")
        ) from error


def _require_readable(name: str, path: str | None) -> None:
    if path is None:
        return
    try:
        with open(path, "rb"):  # noqa: PTH123 - the setting may be any path-like
            pass
    except OSError as error:
        raise ConfigurationError(
            f"DEFAULT_STOMP_{name.upper()} names a file that cannot be read: {error}."
            " Correct the path in DJANGO_OUTBOX_PATTERN."
        ) from error
