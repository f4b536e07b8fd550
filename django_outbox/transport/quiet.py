"""Keeps stomp.py's own log from saying what ours does not: the passcode, bodies and headers of messages, and warnings
about a connection that is being closed anyway.

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
# Said when the broker and we close at the same moment: nobody can do anything about it, and nothing is wrong.
_PARTING = ("unable to issue shut_rdwr", "unable to close socket")


class _FramesInShort(logging.Filter):
    """Lets through of each frame what may be shown, and no warning that is none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Cut the record down; what is said at parting is kept at DEBUG only."""
        # Releases differ in how they spell the first letter.
        said = record.msg.lower() if isinstance(record.msg, str) else ""
        if said.startswith(_PARTING):
            record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
            return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        if said.startswith(_FRAMES) and isinstance(record.args, tuple):
            found = _COMMAND.search(str(record.args[0])) if record.args else None
            command = found.group() if found else "?"
            if command in _LOGINS or not settings.LOG_MESSAGE_BODIES:
                record.msg, record.args = f"{record.msg.partition(':')[0]}: %s", (command,)
        return True


_FILTER = _FramesInShort()


def hush() -> None:
    """Put the filter on stomp.py's logger; doing so again changes nothing."""
    logging.getLogger("stomp.py").addFilter(_FILTER)
