"""The worker's HTTP port: ``/metrics`` for Prometheus, ``/livez`` and ``/readyz`` for the probes.

Both commands start it when they were given a metrics port. Requests are answered on threads of their own: a busy main
loop does not delay them and a slow scrape does not delay the work.
"""

from __future__ import annotations

import errno
import json
import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from types import TracebackType

    from django_outbox.health import Health, Verdict

logger = logging.getLogger("django_outbox_pattern.server")

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus reach the worker through the pod's address
_REQUEST_TIMEOUT_SECONDS = 10


class PortUnavailableError(RuntimeError):
    """The metrics port cannot be listened on: another program has it, or this one may not."""


class WorkerServer:
    """Serve the health and the metrics of this process; a context manager that starts and stops the server.

    Port 0 takes any free port; ``port`` tells which one it became. Raises ``PortUnavailableError`` on entering.
    """

    def __init__(
        self, health: Health, port: int, host: str = ANY_ADDRESS, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self.health = health
        self.registry = registry
        self.host = host
        self.port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> WorkerServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen and answer in the background."""
        try:
            self._server = _Server((self.host, self.port), self)
        except (OSError, OverflowError) as error:
            raise PortUnavailableError(_explain(self.host, self.port, error)) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="outbox-http", daemon=True)
        self._thread.start()
        logger.info("Serving /metrics, /livez and /readyz on port %s", self.port, extra={"port": self.port})

    def stop(self) -> None:
        """Stop listening; requests under way are not waited for."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default joins every request's thread on closing: one slow scrape would delay the worker's exit.
    block_on_close = False

    def __init__(self, address: tuple[str, int], worker: WorkerServer) -> None:
        self.worker = worker
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Keep a client that went away out of stderr, whose last line belongs to the command."""
        logger.debug("A request from %s failed", client_address, exc_info=True)  # noqa: LOG014 - called while handling


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        worker = cast("_Server", self.server).worker
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics(worker.registry)
        elif path == "/livez":
            self._verdict(worker.health.role, worker.health.live())
        elif path == "/readyz":
            self._verdict(worker.health.role, worker.health.ready())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"Try /metrics, /livez or /readyz.\n")

    def _metrics(self, registry: CollectorRegistry) -> None:
        encode, content_type = choose_encoder(self.headers.get("Accept") or "")
        self._answer(HTTPStatus.OK, content_type, encode(registry))

    def _verdict(self, role: str, verdict: Verdict) -> None:
        document = {
            "status": "ok" if verdict.ok else "failing",
            "role": role,
            "checks": {name: {"ok": check.ok, "reason": check.reason} for name, check in verdict.checks.items()},
            "reasons": verdict.reasons,
        }
        status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", json.dumps(document).encode() + b"\n")

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep probes, two every few seconds, out of the log."""
        logger.debug(format, *args)


def _explain(host: str, port: int, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program. Give another one with --metrics-port, or 0 for any free port."
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"This user may not listen on port {port}. Give one above 1023 with --metrics-port."
    return f"Cannot listen on {host}:{port}: {error}. Give another port with --metrics-port."
