"""System checks: a project's settings and decorators, held to what the library can work with.

Ids are stable. Errors: E001 the settings are no dict · E002 a value is of the wrong kind · E003 a dotted path does not
import · E004 two settings contradict each other · E005 a model of the project's own lacks columns. Warnings: W001 a key
does not exist · W002 a key does nothing any more · W003 TLS without verification · W004 @publish names a serializer the
model does not have · W005 @publish names fields it does not have · W006 @publish names a key it does not have ·
W007 a TLS file cannot be read or is not used.

Django runs them with its own; ``manage.py publish`` and ``subscribe`` ask ``first_error`` before they start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import FieldDoesNotExist
from django.utils.module_loading import import_string

from django_outbox import decorators, settings

TAG = "outbox"
_TLS_FILES = ("DEFAULT_STOMP_CA_CERTS", "DEFAULT_STOMP_CERT_FILE", "DEFAULT_STOMP_KEY_FILE")
_SECRET = frozenset({"DEFAULT_STOMP_PASSCODE", "DEFAULT_STOMP_SSL_PASSWORD"})


def first_error() -> str | None:
    """Return the first error in one line, with what to do about it; None when there is none."""
    for check in (check_settings, check_imports, check_relations, check_models):
        for message in check():
            if message.is_serious():
                return " ".join(f"{message.msg} {message.hint or ''} ({message.id})".split())
    return None


@register(TAG)
def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Hold each key of DJANGO_OUTBOX_PATTERN to the settings' table."""
    configured = getattr(django_settings, settings.DICT_NAME, {})
    if not isinstance(configured, Mapping):
        message = f"{settings.DICT_NAME} must be a dict, not {type(configured).__name__}."
        return [Error(message, hint=f"Write {settings.DICT_NAME} = {{...}} in your settings.", id="django_outbox.E001")]
    messages = (_check_key(str(name), value) for name, value in configured.items())
    return [message for message in messages if message is not None]


@register(TAG)
def check_imports(**_kwargs: Any) -> list[CheckMessage]:
    """Import what the settings name by dotted path."""
    return [message for name in settings.IMPORT_STRINGS if (message := _check_import(name)) is not None]


@register(TAG)
def check_relations(**_kwargs: Any) -> list[CheckMessage]:
    """Compare settings that only make sense together."""
    messages: list[CheckMessage] = []
    lease, timeout = settings.CLAIM_LEASE, settings.RECEIPT_TIMEOUT
    if _are_numbers(lease, timeout) and lease <= 2 * timeout:
        # Writing a batch and waiting for its receipts may each take the timeout.
        message = f"CLAIM_LEASE ({lease} s) must be more than twice RECEIPT_TIMEOUT ({timeout} s)."
        hint = "Otherwise a second publisher sends rows again that the first still waits for."
        messages.append(Error(message, hint=hint, id="django_outbox.E004"))
    if settings.DEFAULT_STOMP_USE_SSL is True and settings.DEFAULT_STOMP_SSL_VERIFY is False:
        message = "The broker's certificate is not verified: DEFAULT_STOMP_SSL_VERIFY is False."
        hint = "Remove it, and set DEFAULT_STOMP_CA_CERTS to the file of the authority that signed the certificate."
        messages.append(CheckWarning(message, hint=hint, id="django_outbox.W003"))
    return messages


@register(TAG)
def check_tls_files(**_kwargs: Any) -> list[CheckMessage]:
    """Look for the files of TLS. Warnings: only workers need them, and where migrations run they may be missing."""
    return [CheckWarning(message, hint=hint, id="django_outbox.W007") for message, hint in _tls_problems()]


def _tls_problems() -> Iterator[tuple[str, str]]:
    files = {name: value for name in _TLS_FILES if isinstance(value := settings.value_of(name), str | os.PathLike)}
    if files and settings.DEFAULT_STOMP_USE_SSL is False:
        yield f"{', '.join(files)} has no effect.", "Set DEFAULT_STOMP_USE_SSL to True to connect with TLS."
        return
    for name, path in files.items():
        if not os.access(path, os.R_OK):
            reason = "does not exist" if not os.path.exists(path) else "cannot be read by this user"  # noqa: PTH110
            yield (
                f"{name}: the file {os.fspath(path)!r} {reason}.",
                "Workers cannot connect to the broker without it: mount the file or correct the path.",
            )
    if "DEFAULT_STOMP_KEY_FILE" in files and "DEFAULT_STOMP_CERT_FILE" not in files:
        yield (
            "DEFAULT_STOMP_KEY_FILE is set and DEFAULT_STOMP_CERT_FILE is not: no client certificate is shown.",
            "Set DEFAULT_STOMP_CERT_FILE to the certificate that goes with the key.",
        )


@register(TAG)
def check_models(**_kwargs: Any) -> list[CheckMessage]:
    """Look for the publisher's columns on an outbox model of the project's own."""
    try:
        model = import_string(settings.DEFAULT_PUBLISHED_CLASS)
        present = {field.name for field in model._meta.get_fields()}
    except (ImportError, AttributeError):
        return []  # E002 or E003 says so.
    missing = {"next_attempt_at", "claim_token", "claimed_until", "last_error", "key"} - present
    if not missing:
        return []
    message = f"{settings.DEFAULT_PUBLISHED_CLASS} has no field {', '.join(sorted(missing))}."
    hint = "The publisher keeps its notes there. Inherit from django_outbox.models.Published or add the same fields."
    return [Error(message, hint=hint, id="django_outbox.E005")]


@register(TAG)
def check_decorators(**_kwargs: Any) -> list[CheckMessage]:
    """Look for what the configurations of @publish name on their models."""
    return [
        message
        for model, configs in decorators.registry
        for config in configs
        for message in _check_config(model, config)
    ]


def _check_key(name: str, value: Any) -> CheckMessage | None:
    if name in settings.RETIRED:
        hint = "Remove it: callbacks and sends need no such switch any more."
        return CheckWarning(f"{_path(name)} does nothing.", hint=hint, id="django_outbox.W002")
    key = settings.KEYS.get(settings.ALIASES.get(name, name))
    if key is None:
        near = settings.closest(name)
        hint = f"Did you mean {near!r}?" if near else "The settings are listed in docs/reference.md."
        return CheckWarning(f"{_path(name)} is not a setting and has no effect.", hint=hint, id="django_outbox.W001")
    expected = key.validate(value)
    if expected is None:
        return None
    shown = "what it is" if name in _SECRET else repr(value)
    message = f"{_path(name)} must be {expected}, not {shown}."
    hint = key.meaning if name in _SECRET else f"{key.meaning} Default: {key.default!r}."
    return Error(message, hint=hint, id="django_outbox.E002")


def _check_import(name: str) -> CheckMessage | None:
    value = settings.value_of(name)
    if not isinstance(value, str) or settings.KEYS[name].validate(value) is not None:
        return None
    try:
        import_string(value)
    except ImportError as error:
        hint = "Correct the dotted path, or install what it names."
        return Error(f"{_path(name)}: cannot import {value!r}: {error}.", hint=hint, id="django_outbox.E003")
    return None


def _check_config(model: Any, config: decorators.Config) -> Iterator[CheckMessage]:
    if config.serializer is not None and not hasattr(model, config.serializer):
        message = (
            f"@publish to {config.destination!r} names the serializer {config.serializer!r}, which does not exist."
        )
        hint = "All fields are published instead. Write the method or correct its name."
        yield CheckWarning(message, hint=hint, obj=model, id="django_outbox.W004")
    unknown = [name for name in config.fields or [] if not _has_field(model, name)]
    if unknown and config.serializer is None and not model._meta.abstract:
        message = f"@publish to {config.destination!r} names fields that do not exist: {', '.join(unknown)}."
        yield CheckWarning(message, hint="They are left out of the message.", obj=model, id="django_outbox.W005")

    yield from _check_key_of(model, config)


def _check_key_of(model: Any, config: decorators.Config) -> Iterator[CheckMessage]:
    name = config.key
    if not isinstance(name, str) or hasattr(model, name) or _has_field(model, name):
        return
    message = f"@publish to {config.destination!r} names the key {name!r}, which does not exist."
    hint = "Saving the model raises AttributeError unless each instance sets it. Correct the name or give a function."
    yield CheckWarning(message, hint=hint, obj=model, id="django_outbox.W006")


def _has_field(model: Any, name: str) -> bool:
    has_attname: Callable[[str], bool] = {field.attname for field in model._meta.concrete_fields}.__contains__
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return has_attname(name)
    return True


def _path(name: str) -> str:
    return f"{settings.DICT_NAME}[{name!r}]"


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
