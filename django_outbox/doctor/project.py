"""The doctor on settings: what the system checks say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_outbox import checks, settings
from django_outbox.doctor.findings import fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_outbox.doctor.findings import Finding


def settings_can_be_read() -> bool:
    """Tell whether the values are of their kinds, so that anything else can be tried."""
    return not any(message.is_serious() for message in checks.check_settings())


def examine() -> Iterator[Finding]:
    """Yield one finding for each message of the system checks, or one that there is none."""
    found = list(checks.check_settings())
    if settings_can_be_read():
        found += [
            *checks.check_imports(),
            *checks.check_relations(),
            *checks.check_models(),
            *checks.check_decorators(),
        ]
    for message in found:
        finding = fail if message.is_serious() else warn
        yield finding("settings", f"{message.msg} ({message.id})", message.hint or "")
    if not found:
        yield ok("settings", f"{len(settings.configured())} set in {settings.DICT_NAME}, all of them understood.")
