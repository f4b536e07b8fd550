"""One question over HTTP for the rig's waits: does this address answer with 200?"""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def answers_ok(url: str, *, context: ssl.SSLContext | None = None) -> bool:
    """Whether a GET gives 200 within 5 s; refusals and broken connections are False."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        return False
    except OSError:
        return False
