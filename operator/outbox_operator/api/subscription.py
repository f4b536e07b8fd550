"""Subscription: the workers that run `manage.py subscribe CALLBACK DESTINATION QUEUE`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox_operator.api.resource import SUBSCRIPTION, Key, Resource
from outbox_operator.api.worker import parse_worker

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_subscription(obj: Mapping[str, Any]) -> Resource:
    """Read a Subscription as the API server sends it."""
    metadata, spec = obj["metadata"], obj["spec"]
    worker = parse_worker(spec)
    ordered = spec.get("ordering") == "Ordered"
    arguments = ["subscribe", spec["callback"], spec["destination"], spec["queue"]]
    arguments += ["--metrics-port", str(worker.metrics_port)]
    # One message at a time is what keeps the order within a worker; one worker keeps it within the queue.
    consumer = {"prefetch": 1, "concurrency": 1} if ordered else spec.get("consumer", {})
    for option in ("prefetch", "concurrency"):
        if option in consumer:
            arguments += [f"--{option}", str(consumer[option])]
    return Resource(
        key=Key(SUBSCRIPTION, metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata["generation"],
        worker=worker,
        arguments=tuple(arguments),
        preflight_arguments=(
            *("--callback", spec["callback"]),
            *("--destination", spec["destination"]),
            *("--queue", spec["queue"]),
        ),
        callback=spec["callback"],
        queue=spec["queue"],
        ordered=ordered,
    )
