"""Labels and selectors of what we make."""

from __future__ import annotations

from typing import Final

from outbox_operator.api.resource import GROUP, KINDS, Key, Kind
from outbox_operator.build.names import FIELD_MANAGER

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OWNED_SELECTOR: Final = f"{MANAGED_BY}={FIELD_MANAGER}"
"""Selects every Deployment that we made."""


def selector_label(kind: Kind) -> str:
    """Return the one label that a Deployment of this kind selects its pods by."""
    return f"{GROUP}/{kind.component}"


SELECTOR_LABELS: Final = tuple(selector_label(kind) for kind in KINDS)


def selector_labels(key: Key) -> dict[str, str]:
    """Return the selector: a single label, since selectors of Deployments can never change."""
    return {selector_label(key.kind): key.name}


def selector(key: Key) -> str:
    """Return the selector as text, for status and list requests."""
    return f"{selector_label(key.kind)}={key.name}"


def object_labels(key: Key) -> dict[str, str]:
    """Return the labels of pods and of the objects around them."""
    return {
        **selector_labels(key),
        f"{GROUP}/component": "worker",
        "app.kubernetes.io/name": "outbox-worker",
        "app.kubernetes.io/instance": key.name,
        "app.kubernetes.io/component": key.kind.component,
        "app.kubernetes.io/part-of": "django-outbox",
        MANAGED_BY: FIELD_MANAGER,
    }
