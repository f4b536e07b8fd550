"""KEDA's operator and metrics adapter as processes of this machine, beside an `ApiServer` with a controller-manager.

Built from KEDA's own Go module, which also has the CRDs and roles: taken from there at run time, none of it is in the
repository. No pod runs; a ScaledObject moves the `replicas` of a Deployment, and KEDA asks real servers on loopback.
"""

from __future__ import annotations

import base64
import json
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tests.rig.gobuild import GoBuild, module_directory, module_version
from tests.rig.paths import RIG_SOURCES
from tests.rig.process import Daemon, free_port
from tests.rig.progress import say
from tests.rig.waiting import RigError, tail, wait_until
from tests.rig.web import answers_ok

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.rig.apiserver import ApiServer

_MODULE = RIG_SOURCES / "go-keda"
_KEDA = "github.com/kedacore/keda/v2"
_NAMESPACE = "keda"
_SERVICE = "keda-metrics-apiserver"
_API_SERVICE = "v1beta1.external.metrics.k8s.io"
_READY_SECONDS = 120  # 6 to 10 s on an idle machine

CONTROLLERS = {
    # Of the HorizontalPodAutoscaler: 15 s and 5 min by default, which is longer than a test wants to wait.
    "horizontal-pod-autoscaler-sync-period": "1s",
    "horizontal-pod-autoscaler-downscale-stabilization": "2s",
}
"""Flags of the controller-manager that let replicas move quickly."""


def keda_version() -> str:
    """KEDA's version, as go.mod pins it."""
    return module_version((_MODULE / "go.mod").read_text(), _KEDA)


def keda_build() -> GoBuild:
    """KEDA's two programs, `operator` and `adapter`."""
    version = keda_version()
    flags = f"-s -w -X {_KEDA}/version.Version={version.removeprefix('v')}"
    packages = (f"{_KEDA}/cmd/operator", f"{_KEDA}/cmd/adapter")
    return GoBuild("keda", f"KEDA {version}", _MODULE, packages, flags)


def keda_crds() -> Path:
    """A folder with KEDA's CRDs, in Go's module cache."""
    return module_directory(_MODULE, _KEDA) / "config" / "crd" / "bases"


class Keda:
    """KEDA beside `server`, which has to know the CRDs of `keda_crds`; use as a context manager."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self._directory = server.directory / "keda"
        self._stack = ExitStack()
        self._ports = {name: free_port() for name in ("grpc", "probe", "metrics", "adapter", "adapter-metrics")}
        self._programs = keda_build().folder()
        self.operator = self._operator()
        self.adapter = self._adapter()

    def __enter__(self) -> Keda:
        with ExitStack() as stack:
            self._write_certificates()
            self._register()
            for daemon in (self.operator, self.adapter):
                daemon.start()
                stack.callback(daemon.stop)
            probe = f"http://127.0.0.1:{self._ports['probe']}/readyz"
            self.operator.wait_ready("ready", lambda: answers_ok(probe), seconds=_READY_SECONDS)
            self.adapter.wait_ready("serves external metrics", self._serves_metrics, seconds=_READY_SECONDS)
            say(f"KEDA {keda_version()} ready")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def logs(self) -> str:
        """The ends of both logs, for a failed test's report."""
        return f"{tail(self.operator.log)}\n{tail(self.adapter.log)}"

    @property
    def _certificates(self) -> Path:
        return self._directory / "certificates"

    @property
    def _environment(self) -> dict[str, str]:
        names = {"POD_NAMESPACE": _NAMESPACE, "KEDA_CLUSTER_OBJECT_NAMESPACE": _NAMESPACE, "WATCH_NAMESPACE": ""}
        return {"KUBECONFIG": str(self.server.kubeconfig), **names}

    def _operator(self) -> Daemon:
        options = {
            "metrics-bind-address": self._at("metrics"),
            "health-probe-bind-address": self._at("probe"),
            "metrics-service-bind-address": self._at("grpc"),
            "cert-dir": str(self._certificates),
            "enable-cert-rotation": "false",
            "zap-encoder": "console",
        }
        return self._daemon("operator", options)

    def _adapter(self) -> Daemon:
        kubeconfig = str(self.server.kubeconfig)
        options = {
            "bind-address": "127.0.0.1",
            "secure-port": str(self._ports["adapter"]),
            "port": str(self._ports["adapter-metrics"]),
            "metrics-service-address": self._at("grpc"),
            "cert-dir": str(self._certificates),
            "tls-cert-file": str(self._certificates / "tls.crt"),
            "tls-private-key-file": str(self._certificates / "tls.key"),
            "lister-kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
        }
        return self._daemon("adapter", options)

    def _daemon(self, name: str, options: dict[str, str]) -> Daemon:
        argv = [str(self._programs / name), *(f"--{option}={value}" for option, value in options.items())]
        return Daemon(name, argv, self._directory, self._environment)

    def _at(self, port: str) -> str:
        return f"127.0.0.1:{self._ports[port]}"

    def _write_certificates(self) -> None:
        """One certificate for both programs, as KEDA makes it for itself in a cluster."""
        names = (f"DNS:{_SERVICE}.{_NAMESPACE}.svc", "DNS:localhost", "IP:127.0.0.1")
        pair = self.server.authority.issue("keda", "/CN=keda", names=names)
        self._certificates.mkdir(parents=True, exist_ok=True)
        for source, name in (
            (self.server.authority.pair.certificate, "ca.crt"),
            (pair.certificate, "tls.crt"),
            (pair.key, "tls.key"),
        ):
            shutil.copy(source, self._certificates / name)

    def _register(self) -> None:
        """Namespace, roles, and the adapter as the server of external metrics."""
        roles = module_directory(_MODULE, _KEDA) / "config" / "metrics-server"
        self._apply(*self._objects())
        for name in ("role.yaml", "role_binding.yaml"):
            self.server.kubectl("apply", "--server-side", "-f", str(roles / name))

    def _apply(self, *objects: dict[str, Any]) -> None:
        text = "\n---\n".join(json.dumps(obj) for obj in objects)
        self.server.kubectl("apply", "--server-side", "-f", "-", input=text)

    def _objects(self) -> list[dict[str, Any]]:
        here = {"name": _SERVICE, "namespace": _NAMESPACE}
        backend = {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            # The certificate is made for the Service's name; the API server calls it by that name.
            "insecureSkipTLSVerify": False,
            "caBundle": self._ca_bundle(),
            "service": {**here, "port": self._ports["adapter"]},
        }
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": here,
                # Endpoints may not name loopback, an external name may.
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": _API_SERVICE},
                "spec": backend,
            },
        ]

    def _ca_bundle(self) -> str:
        return base64.b64encode(self.server.authority.pair.certificate.read_bytes()).decode()

    def _serves_metrics(self) -> bool:
        try:
            self.server.kubectl("get", "--raw", "/apis/external.metrics.k8s.io/v1beta1")
        except RigError:
            return False
        return True

    def stop_operator(self) -> None:
        """End KEDA's operator, as a node that fails would."""
        self.operator.kill()

    def start_operator(self) -> None:
        """Start it again."""
        self.operator.start()
        probe = f"http://127.0.0.1:{self._ports['probe']}/readyz"
        wait_until("KEDA's operator is ready", lambda: answers_ok(probe), seconds=_READY_SECONDS, state=self.logs)
