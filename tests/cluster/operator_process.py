"""The operator as a process against a real API server, and what tests ask of that cluster."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.rig import RigError
from tests.rig.waiting import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rig import ApiServer

REPOSITORY = Path(__file__).parents[2]
SECONDS = 30.0


class Cluster:
    """kubectl in one namespace, with waits that show the state when they fail."""

    def __init__(self, server: ApiServer, namespace: str = "default") -> None:
        self.server = server
        self.namespace = namespace

    def inside(self, namespace: str) -> Cluster:
        """Return the same cluster seen from another namespace."""
        return Cluster(self.server, namespace)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.server.kubectl("-n", self.namespace, *arguments, input=stdin)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply manifests as a user does, with the API server's validation only."""
        text = "\n---\n".join(json.dumps(obj) for obj in objects)
        self.kubectl("apply", "--server-side", "--field-manager=user", "-f", "-", stdin=text)

    def refusal(self, manifest: dict[str, Any]) -> str:
        """Try to create an object and return why the API server refuses it."""
        with pytest.raises(RigError) as refusal:
            self.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
        return " ".join(str(refusal.value).split())

    def patch(self, kind: str, name: str, patch: dict[str, Any], *more: str) -> None:
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch), *more)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        text = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def must_get(self, kind: str, name: str) -> dict[str, Any]:
        found = self.get(kind, name)
        assert found is not None, f"{kind} {name} does not exist"
        return found

    def writes(self, kind: str, name: str) -> list[dict[str, Any]]:
        """Return an object's managed fields: who has written to it, and what."""
        text = self.kubectl("get", kind, name, "--show-managed-fields", "-o", "json")
        found: list[dict[str, Any]] = json.loads(text)["metadata"]["managedFields"]
        return found

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return found

    def wait(
        self, kind: str, name: str, what: str, condition: Callable[[dict[str, Any]], Any], seconds: float = SECONDS
    ) -> dict[str, Any]:
        """Wait until an object exists and fulfils a condition, and return it."""

        def fulfilled() -> dict[str, Any] | None:
            found = self.get(kind, name)
            return found if found is not None and condition(found) else None

        return wait_until(f"{kind} {name}: {what}", fulfilled, seconds=seconds, state=lambda: self.state(kind, name))

    def wait_gone(self, kind: str, name: str, seconds: float = SECONDS) -> None:
        wait_until(
            f"{kind} {name} is gone",
            lambda: self.get(kind, name) is None,
            seconds=seconds,
            state=lambda: self.state(kind, name),
        )

    def wait_condition(self, kind: str, name: str, type_: str, status: str, reason: str) -> dict[str, Any]:
        """Wait until a resource has a condition, and return the condition."""

        def holds(obj: dict[str, Any]) -> bool:
            found = condition(obj, type_)
            return (found.get("status"), found.get("reason")) == (status, reason)

        return condition(self.wait(kind, name, f"{type_}={status}/{reason}", holds), type_)

    def events(self, name: str) -> list[tuple[str, str]]:
        """Return (reason, message) of the Events on an object, oldest first."""
        items = json.loads(
            self.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "json")
        )
        ordered = sorted(items["items"], key=lambda item: int(item["metadata"]["resourceVersion"]))
        return [(item["reason"], item["message"]) for item in ordered]

    def wait_event(self, name: str, reason: str) -> str:
        """Wait for an Event on an object and return its message."""
        return wait_until(
            f"Event {reason} on {name}",
            lambda: next((message for found, message in self.events(name) if found == reason), None),
            seconds=SECONDS,
            state=lambda: str(self.events(name)),
        )

    def make_ready(self, selector: str, number: int) -> None:
        """Play the kubelet: report the selected pods as ready once there are so many.

        Those that are ready already are passed over: the first of the others may be the one that ends them.
        """
        pods = wait_until(
            f"{number} pods {selector}",
            lambda: found if len(found := self.list("pods", selector)) == number else None,
            seconds=SECONDS,
            state=lambda: self.kubectl("get", "pods", "--show-labels"),
        )
        for pod in (pod for pod in pods if condition(pod, "Ready").get("status") != "True"):
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            self.patch_pod(pod["metadata"]["name"], {"phase": "Running", "conditions": [ready]})

    def patch_pod(self, name: str, status: dict[str, Any]) -> None:
        self.patch("pod", name, {"status": status}, "--subresource=status")

    def state(self, kind: str, name: str) -> str:
        return self.kubectl("get", kind, name, "--ignore-not-found", "-o", "yaml") + str(self.events(name))


def condition(obj: dict[str, Any], type_: str) -> dict[str, Any]:
    """Return a condition of an object, empty when it has none such."""
    found = obj.get("status", {}).get("conditions", [])
    return next((item for item in found if item["type"] == type_), {})


class OperatorProcess:
    """`python -m outbox_operator run` for some namespaces; its output goes to a log that failures show."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        *namespaces: str,
        pod_name: str = "operator-1",
        kubeconfig: Path | None = None,
        **env: str,
    ) -> None:
        self._cluster = cluster
        self.log = folder / f"{pod_name}.log"
        self._env = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or cluster.server.kubeconfig),
            "PYTHONPATH": str(REPOSITORY / "operator"),
            "OUTBOX_OPERATOR_WATCH_NAMESPACES": ",".join(namespaces),
            "OUTBOX_OPERATOR_NAMESPACE": namespaces[0] if namespaces else "default",
            "OUTBOX_OPERATOR_POD_NAME": pod_name,
            "OUTBOX_OPERATOR_PORT": "0",
            "OUTBOX_OPERATOR_RESYNC_SECONDS": "1",
            **{f"OUTBOX_OPERATOR_{key.upper()}": value for key, value in env.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OperatorProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def start(self, *, working: bool = True) -> OperatorProcess:
        """Start, and wait until it serves and (unless told otherwise) works."""
        self.log.write_bytes(b"")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "outbox_operator", "run"], env=self._env, stdout=log, stderr=log
            )
        try:
            self.wait_log("serving /metrics")
            if working:
                self.wait_log("working on")
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(SECONDS)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)

    def exit_code(self) -> int:
        """Wait for its end."""
        assert self._process is not None
        return self._process.wait(60)

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def assert_alive(self) -> None:
        assert self.is_alive(), tail(self.log)

    def wait_log(self, text: str, seconds: float = SECONDS) -> None:
        def logged() -> bool:
            self.assert_alive()
            return text in self.log.read_text()

        wait_until(f"the operator logs {text!r}", logged, seconds=seconds, state=lambda: tail(self.log))

    def http(self, path: str) -> str:
        port = re.search(r"readyz on port (\d+)", self.log.read_text())
        assert port is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def metric(self, name: str, /, **labels: str) -> float:
        """Return the sum of a metric's samples that carry the labels."""
        families = text_string_to_metric_families(self.http("/metrics"))
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def wait_looks(self, number: int, kind: str) -> None:
        """Wait until so many more reconciliations of a kind have ended, whatever their result."""
        before = self.metric("outbox_operator_reconciles_total", kind=kind)
        wait_until(
            f"{number} more reconciliations of {kind}",
            lambda: self.metric("outbox_operator_reconciles_total", kind=kind) >= before + number,
            seconds=SECONDS,
            state=lambda: tail(self.log),
        )
