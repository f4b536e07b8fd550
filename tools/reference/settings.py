"""The settings, from the one table that the app reads and checks them by."""

from __future__ import annotations

from django_outbox.settings import DICT_NAME, KEYS
from tools.reference.markdown import code, table


def section() -> str:
    """Return the section on settings."""
    rows = [(code(key.name), code(repr(key.fresh_default())), key.meaning) for key in KEYS.values()]
    intro = (
        f"\n## Settings\n\nKeys of the dict `{DICT_NAME}` in the project's settings, read each time one is used."
        " `manage.py check` holds a project to them.\n\n"
    )
    return intro + table(("Key", "Default", "Meaning"), rows)
