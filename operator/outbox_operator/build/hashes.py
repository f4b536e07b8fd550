"""Digests. `plan` uses them to tell whether something changed without keeping the thing itself."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def spec_digest(obj: Mapping[str, Any]) -> str:
    """Return a digest of an object that we built."""
    return hashlib.sha256(_canonical(obj)).hexdigest()[:16]


def salted_digest(uid: str, content: Mapping[str, Any]) -> str:
    """Return a short digest of a Secret's or ConfigMap's content.

    The key is the resource's uid and the digest is cut: annotations of pods must not let a reader compare Secrets
    with each other or try passwords offline against a full hash.
    """
    return hmac.new(uid.encode(), _canonical(content), hashlib.sha256).hexdigest()[:8]


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
