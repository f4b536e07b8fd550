"""The worker's HTTP port, on a real socket."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter

from django_outbox.health import Health
from django_outbox.server import PortUnavailableError, WorkerServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[WorkerServer]:
    """A server on a free port, with one counter to show."""
    registry = CollectorRegistry()
    Counter("shown", "A counter.", registry=registry).inc()
    with WorkerServer(Health("subscription", needs=("broker",)), 0, "127.0.0.1", registry) as server:
        yield server


def _get(server: WorkerServer, path: str, accept: str = "*/*") -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_port_0_becomes_a_free_port(server: WorkerServer) -> None:
    assert server.port > 0


def test_metrics_are_shown_as_prometheus_reads_them(server: WorkerServer) -> None:
    status, kind, text = _get(server, "/metrics?name=ignored")
    assert (status, "shown_total 1.0" in text) == (200, True)
    assert kind.startswith("text/plain")


def test_metrics_are_shown_as_openmetrics_to_who_asks_for_it(server: WorkerServer) -> None:
    _, kind, text = _get(server, "/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.rstrip().endswith("# EOF")


def test_readiness_is_json_with_reasons(server: WorkerServer) -> None:
    status, kind, text = _get(server, "/readyz")
    assert (status, kind) == (503, "application/json")
    assert json.loads(text)["reasons"] == {"broker": "not reported yet"}
    server.health.set_ready("broker", True)
    status, _, text = _get(server, "/readyz")
    assert (status, json.loads(text)["status"]) == (200, "ok")


def test_liveness_follows_the_loop_and_nothing_else(server: WorkerServer) -> None:
    assert _get(server, "/livez")[0] == 200
    server.health.max_beat_age = 0
    assert _get(server, "/livez")[0] == 503


def test_other_paths_are_named(server: WorkerServer) -> None:
    status, _, text = _get(server, "/")
    assert status == 404
    assert "/metrics" in text


def test_a_taken_port_is_refused_with_what_to_do(server: WorkerServer) -> None:
    with pytest.raises(PortUnavailableError, match=f"Port {server.port} is taken.*--metrics-port"):
        WorkerServer(server.health, server.port, "127.0.0.1").start()


def test_an_impossible_port_is_refused_with_what_to_do(server: WorkerServer) -> None:
    with pytest.raises(PortUnavailableError, match="--metrics-port"):
        WorkerServer(server.health, 70_000, "127.0.0.1").start()


def test_a_port_is_free_again_after_the_stop(server: WorkerServer) -> None:
    port = server.port
    server.stop()
    with WorkerServer(server.health, port, "127.0.0.1") as again:
        assert again.port == port
