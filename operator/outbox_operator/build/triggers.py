"""The KEDA trigger of an autoscaling source: what is asked for the backlog, and how."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from outbox_operator.api.autoscaling import PostgreSQLSource, PrometheusSource, RabbitMQSource

if TYPE_CHECKING:
    from outbox_operator.api.autoscaling import Autoscaling
    from outbox_operator.api.resource import Resource


def trigger(resource: Resource, autoscaling: Autoscaling) -> dict[str, Any]:
    """Return type and metadata of the trigger; every value of the metadata is a string, as KEDA wants it."""
    source = autoscaling.source
    target, activation = str(autoscaling.target_backlog), str(autoscaling.activation_backlog)
    if isinstance(source, RabbitMQSource):
        metadata = {
            "url": queue_url(source, resource.queue or ""),
            "valueLocation": "messages",
            "targetValue": target,
            "activationTargetValue": activation,
            **({"authMode": "basic"} if autoscaling.secrets else {}),
        }
        return {"type": "metrics-api", "metadata": metadata}
    if isinstance(source, PostgreSQLSource):
        metadata = {
            "query": outbox_query(source.table, autoscaling.target_backlog * autoscaling.max_replicas),
            "targetQueryValue": target,
            "activationTargetQueryValue": activation,
        }
        return {"type": "postgresql", "metadata": metadata}
    metadata = {
        "serverAddress": source.server_address,
        "query": _prometheus_query(resource, source),
        "threshold": target,
        "activationThreshold": activation,
        # No series is no knowledge; KEDA's default takes it for 0.
        "ignoreNullValues": "false",
    }
    return {"type": "prometheus", "metadata": metadata}


def queue_url(source: RabbitMQSource, queue: str) -> str:
    """Return the address of a queue in the management API.

    KEDA's own RabbitMQ trigger takes an answer without a count for 0, and stops the workers of a full queue when the
    broker gathers no statistics. Asked for the very field, its trigger metrics-api fails instead, which is "unknown".
    The field counts ready messages and those not yet acknowledged: workers that are busy are not taken away.
    """
    return f"{source.management_url.rstrip('/')}/api/queues/{quote(source.vhost, safe='')}/{quote(queue, safe='')}"


def outbox_query(table: str, enough: int) -> str:
    """Return the query that counts the rows not sent yet, at most about `enough` of them.

    Each half is what one of the table's partial indexes holds, so finished rows cost nothing; the limit bounds the cost
    of a long backlog, since more than all workers can be given changes nothing. Rows that wait for their next attempt
    count: a publisher has to be there when their time comes. Rows parked as FAILED do not.
    """
    name = ".".join(f'"{part}"' for part in table.split("."))
    halves = []
    for condition, alias in (("IS NULL", "unkeyed"), ("IS NOT NULL", "keyed")):
        # The schema holds `table` to letters, digits and underscores.
        rows = f'SELECT 1 FROM {name} WHERE status = 1 AND "key" {condition} LIMIT {enough}'  # noqa: S608
        halves.append(f"(SELECT count(*) FROM ({rows}) AS {alias})")  # noqa: S608
    return f"SELECT {' + '.join(halves)}"


def _prometheus_query(resource: Resource, source: PrometheusSource) -> str:
    if source.query is not None:
        return source.query
    # Every worker reports the same table. A table without unsent rows has no series; that its workers are seen at all
    # is what tells 0 from unknown.
    labels = f"namespace={json.dumps(resource.key.namespace)}, publisher={json.dumps(resource.key.name)}"
    return (
        f"sum(max by (destination) (outbox_pending_messages{{{labels}}})) "
        f"or (count(outbox_worker_info{{{labels}}}) * 0)"
    )
