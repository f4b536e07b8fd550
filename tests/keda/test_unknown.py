"""An unknown backlog never stops the last worker, and where none runs it starts one."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.cluster.predicates import replicas
from tests.keda.resources import by_queue, subscription
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.operator_process import Cluster
    from tests.rig.hostservices import RabbitMQ

SECONDS = 90.0
# More than the cooldown of the resources here: KEDA would have stopped the worker by then.
LOOKS = 8


class ManagementApi:
    """A management API that answers as it is told, and counts how often it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, '{"messages": 30}', 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked += 1
                text = owner.body.encode()
                self.send_response(owner.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[ManagementApi]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def wait_asked(self, more: int) -> None:
        """Wait until KEDA has looked so many more times."""
        wanted = self.asked + more
        wait_until(f"{more} more looks", lambda: self.asked >= wanted, seconds=SECONDS, state=lambda: str(self.asked))


@pytest.fixture
def management() -> Iterator[ManagementApi]:
    with ManagementApi().serving() as api:
        yield api


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "the broker is not itself"),
        (404, '{"error": "Object Not Found"}'),
        # What RabbitMQ answers where it gathers no statistics, and for the queue of a node that is down.
        (200, '{"name": "billing", "state": "running"}'),
    ],
    ids=["an API that fails", "a queue that is not there", "a queue without a count"],
)
def test_an_unknown_backlog_keeps_the_workers(
    scaled: Cluster, rabbitmq: RabbitMQ, management: ManagementApi, name: str, status: int, body: str
) -> None:
    scaled.apply(subscription(name, autoscaling=by_queue(rabbitmq, management.url)))
    scaled.wait("deployment", f"{name}-sub", "3 workers for 30 messages", replicas(3), SECONDS)
    management.status, management.body = status, body
    scaled.wait_condition("obsub", name, "AutoscalingReady", "False", "FallbackActive")
    management.wait_asked(LOOKS)
    assert replicas(3)(scaled.must_get("deployment", f"{name}-sub"))
    management.status, management.body = 200, '{"messages": 0}'
    scaled.wait("deployment", f"{name}-sub", "a known 0 stops them", replicas(0), SECONDS)
    scaled.wait_condition("obsub", name, "AutoscalingReady", "True", "Scaling")


def test_where_no_worker_runs_an_unknown_backlog_starts_those_of_the_fallback(
    scaled: Cluster, rabbitmq: RabbitMQ, management: ManagementApi, name: str
) -> None:
    management.body = '{"messages": 0}'
    fallback = {"failureThreshold": 2, "replicas": 2}
    scaled.apply(subscription(name, autoscaling=by_queue(rabbitmq, management.url, fallback=fallback)))
    scaled.wait("deployment", f"{name}-sub", "no workers", replicas(0), SECONDS)
    management.status = 503
    scaled.wait("deployment", f"{name}-sub", "2 workers of the fallback", replicas(2), SECONDS)
