"""Publisher: the workers that run `manage.py publish`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox_operator.api.resource import PUBLISHER, Key, Resource
from outbox_operator.api.worker import parse_worker

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_publisher(obj: Mapping[str, Any]) -> Resource:
    """Read a Publisher as the API server sends it."""
    metadata, spec = obj["metadata"], obj["spec"]
    worker = parse_worker(spec)
    arguments = ["publish", "--metrics-port", str(worker.metrics_port)]
    if "batchSize" in spec:
        arguments += ["--batch-size", str(spec["batchSize"])]
    if "database" in spec:
        arguments += ["--database", spec["database"]]
    return Resource(
        key=Key(PUBLISHER, metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata["generation"],
        worker=worker,
        arguments=tuple(arguments),
        database=spec.get("database"),
    )
