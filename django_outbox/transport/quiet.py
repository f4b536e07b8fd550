"""Keeps stomp.py's own log from saying what ours does not: the passcode, and bodies and headers of messages.

At DEBUG stomp.py logs each frame; what it does to hide the passcode misses it. ``transport.stomp`` calls ``hush`` with
every connection. Bodies and headers are shown where ``LOG_MESSAGE_BODIES`` is set, a login never.
"""

from __future__ import annotations

import logging
import re

from django_outbox import settings

_FRAMES = ("sending frame", "received frame")
_COMMAND = re.compile(r"\w{3,}")
_LOGINS = frozenset({"CONNECT", "STOMP"})


class _FramesInShort(logging.Filter):
    """Lets through of each frame what may be shown."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Cut the record down; it is always kept."""
        if isinstance(record.msg, str) and record.msg.startswith(_FRAMES) and isinstance(record.args, tuple):
            found = _COMMAND.search(str(record.args[0])) if record.args else None
            command = found.group() if found else "?"
            if command in _LOGINS or not settings.LOG_MESSAGE_BODIES:
                record.msg, record.args = f"{record.msg.partition(':')[0]}: %s", (command,)
        return True


_FILTER = _FramesInShort()


def hush() -> None:
    """Put the filter on stomp.py's logger; doing so again changes nothing."""
    logging.getLogger("stomp.py").addFilter(_FILTER)
