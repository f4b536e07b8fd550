"""Put the words of others (kubelet, API server, Python) into messages for people. Pure."""

from __future__ import annotations

import re
from typing import Final

_MAX_LINES: Final = 3
MAX_TEXT: Final = 700


def last_words(text: str) -> str:
    """Return the last meaningful lines of a termination message: the error itself, without the traceback's frames."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    kept: list[str] = []
    for line in reversed(lines):
        if kept and (line[:1].isspace() or len(kept) >= _MAX_LINES):
            break
        kept.append(line.strip())
        if re.match(r"^(\w+\.)*\w*(Error|Exception)\b", line):
            break  # The line that names the error; what stands before it is the way there.
    words = " | ".join(reversed(kept))
    return words if len(words) <= MAX_TEXT else f"…{words[-MAX_TEXT + 1 :]}"


def sentence(text: str) -> str:
    """Return text in one line, not too long, that ends like a sentence."""
    text = " ".join(text.split())
    text = text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
