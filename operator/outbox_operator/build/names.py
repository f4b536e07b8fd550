"""Names of the objects we make and of the marks we leave on them."""

from __future__ import annotations

from typing import Final

from outbox_operator.api.resource import GROUP, Key

FIELD_MANAGER: Final = "outbox-operator"
HANDOVER_MANAGER: Final = "outbox-operator-handover"
"""Keeps the `replicas` of a Deployment from being reset while we let go of them; owns nothing else."""
CONTAINER: Final = "worker"
PREFLIGHT: Final = "preflight"
"""Init container that checks whether a worker can do its work."""
AWAIT_MIGRATIONS: Final = "await-migrations"
"""Init container that waits until the migrations of the image are applied."""
METRICS_PORT_NAME: Final = "metrics"
TMP_VOLUME: Final = "outbox-tmp"

SPEC_HASH_ANNOTATION: Final = f"{GROUP}/spec-hash"
"""On the Deployment: digest of what was applied last, so that an unchanged plan needs no request."""
CONFIG_ANNOTATION: Final = f"{GROUP}/config"
"""On the pod template: one salted digest for each Secret and ConfigMap the environment is taken from."""


def deployment_name(key: Key) -> str:
    """Return the name of the Deployment of a resource; at most 44 characters, as the CRDs bound the resource's name."""
    return f"{key.name}{key.kind.suffix}"
