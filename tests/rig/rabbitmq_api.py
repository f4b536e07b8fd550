"""A small client of RabbitMQ's management HTTP API, over urllib; the host service and in-cluster checks use it."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.rig.waiting import RigError

# A million messages take RabbitMQ about ten.
_EMPTYING_SECONDS = 120


@dataclass(frozen=True)
class ManagementApi:
    """RabbitMQ at `url` (like http://127.0.0.1:15672) as one user and virtual host."""

    url: str
    username: str
    password: str
    vhost: str = "/"

    def call(self, method: str, path: str, body: Any = None, *, seconds: float = 10) -> Any:
        """One request under `/api/`; None for an answer 404 or an empty one. Raises RigError for other refusals."""
        token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise RigError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
        return json.loads(text) if text else None

    def _queue(self, name: str) -> str:
        return f"queues/{quote(self.vhost, safe='')}/{quote(name, safe='')}"

    def queue(self, name: str) -> dict[str, Any] | None:
        """The queue's arguments and statistics; lengths are samples, seconds old. None when there is no such queue."""
        answer: dict[str, Any] | None = self.call("GET", self._queue(name))
        return answer

    def queues(self, kind: str | None = None) -> list[str]:
        """The names of all queues of the virtual host, or of those of one type."""
        rows = self.call("GET", f"queues/{quote(self.vhost, safe='')}") or []
        return [row["name"] for row in rows if kind is None or row["type"] == kind]

    def declare_queue(self, name: str, *, durable: bool = True, arguments: dict[str, Any] | None = None) -> None:
        """Declare a queue; raises RigError when it exists with other arguments."""
        self.call("PUT", self._queue(name), {"durable": durable, "auto_delete": False, "arguments": arguments or {}})

    def bind_queue(self, name: str, *, exchange: str, routing_key: str) -> None:
        """Bind an existing queue to an existing exchange."""
        path = f"bindings/{quote(self.vhost, safe='')}/e/{quote(exchange, safe='')}/q/{quote(name, safe='')}"
        self.call("POST", path, {"routing_key": routing_key, "arguments": {}})

    def set_policy(self, name: str, pattern: str, definition: dict[str, Any]) -> None:
        """Set a policy for the queues whose names match."""
        body = {"pattern": pattern, "definition": definition, "apply-to": "queues"}
        self.call("PUT", f"policies/{quote(self.vhost, safe='')}/{name}", body)

    def delete_queue(self, name: str) -> None:
        """Delete a queue with what is in it; a missing one is fine."""
        self.call("DELETE", self._queue(name), seconds=_EMPTYING_SECONDS)

    def purge(self, name: str) -> None:
        """Drop the messages that wait in the queue (unacknowledged ones stay)."""
        self.call("DELETE", f"{self._queue(name)}/contents", seconds=_EMPTYING_SECONDS)

    def get_messages(self, name: str, count: int = 1, *, requeue: bool = True) -> list[dict[str, Any]]:
        """Up to `count` messages (payload, properties, routing_key, redelivered); `requeue=False` takes them out."""
        mode = "ack_requeue_true" if requeue else "ack_requeue_false"
        found: list[dict[str, Any]] | None = self.call(
            "POST", f"{self._queue(name)}/get", {"count": count, "ackmode": mode, "encoding": "auto"}
        )
        return found or []

    def publish(
        self, routing_key: str, payload: str, *, exchange: str = "amq.default", properties: dict[str, Any] | None = None
    ) -> bool:
        """Publish one message past any client of ours; returns whether a queue took it."""
        answer = self.call(
            "POST",
            f"exchanges/{quote(self.vhost, safe='')}/{quote(exchange, safe='')}/publish",
            {
                "properties": properties or {},
                "routing_key": routing_key,
                "payload": payload,
                "payload_encoding": "string",
            },
        )
        return bool(answer and answer["routed"])

    def connections(self) -> list[dict[str, Any]]:
        """Open connections; the list is sampled, so a new one shows after about a second."""
        found: list[dict[str, Any]] = self.call("GET", "connections") or []
        return found

    def close_connection(self, name: str) -> None:
        """Cut one connection from the broker's side."""
        self.call("DELETE", f"connections/{quote(name, safe='')}")
