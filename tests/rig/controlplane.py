"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes of this machine.

`ApiServer` uses the first two (or three) of them for the cluster tier; `Node` uses all and adds a kubelet.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tests.rig.certificates import Authority, Pair, signing_key, write_kubeconfig
from tests.rig.process import Daemon, find_program, free_port
from tests.rig.progress import say
from tests.rig.web import answers_ok

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVICE_NETWORK = "10.96.0.0/16"
POD_NETWORK = "10.244.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
READY_SECONDS = 90  # 3 to 5 s on an idle machine


@dataclass
class Shape:
    """What kind of control plane: where it listens, whether it looks after nodes, whose writes it keeps a record of."""

    address: str = "127.0.0.1"
    scheduling: bool = False
    audited_users: tuple[str, ...] = ()
    controllers: Mapping[str, str] = field(default_factory=dict)
    """Further flags of the controller-manager, without their dashes."""


class ControlPlane:
    """One control plane in `directory`, run from the multi-call binary `kube`; ports are chosen at construction."""

    def __init__(self, directory: Path, kube: Path, shape: Shape) -> None:
        self.directory, self.kube, self.shape = directory, kube, shape
        self.port = free_port()
        self.url = f"https://{shape.address}:{self.port}"
        self._etcd_port, self._etcd_peer_port = free_port(), free_port()
        self._pki = directory / "pki"

    @cached_property
    def authority(self) -> Authority:
        """Signs Kubernetes' certificates."""
        return Authority(self._pki, "kubernetes")

    @cached_property
    def admin(self) -> Pair:
        """A client certificate that may do everything."""
        return self.authority.issue("admin", "/O=system:masters/CN=rig-admin")

    def write_kubeconfig(self, path: Path, *, user: Pair | None = None, server: str = "") -> Path:
        """A kubeconfig for `user`, by default the admin; `server` is another way to the API server."""
        return write_kubeconfig(path, server=server or self.url, authority=self.authority.pair, user=user or self.admin)

    def component_kubeconfig(self, name: str, subject: str) -> Path:
        """A kubeconfig for one component, under its own name so that RBAC holds for it."""
        return self.write_kubeconfig(self._pki / f"{name}.kubeconfig", user=self.authority.issue(name, subject))

    @cached_property
    def _etcd_pki(self) -> tuple[Authority, Pair]:
        authority = Authority(self._pki, "etcd")
        return authority, authority.issue("etcd-peer", "/CN=etcd", names=("IP:127.0.0.1",))

    @cached_property
    def etcd(self) -> Daemon:
        """The database, on loopback, for holders of a certificate of its own authority."""
        authority, pair = self._etcd_pki
        client, peer = (f"https://127.0.0.1:{port}" for port in (self._etcd_port, self._etcd_peer_port))
        options = {
            "name": "rig",
            "data-dir": str(self.directory / "etcd-data"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"rig={peer}",
            "cert-file": str(pair.certificate),
            "key-file": str(pair.key),
            "trusted-ca-file": str(authority.pair.certificate),
            "peer-cert-file": str(pair.certificate),
            "peer-key-file": str(pair.key),
            "peer-trusted-ca-file": str(authority.pair.certificate),
            "log-level": "warn",
            "logger": "zap",
        }
        switches = ["--client-cert-auth", "--peer-client-cert-auth", "--unsafe-no-fsync"]
        program = str(find_program("etcd", package="etcd-server"))
        return Daemon("etcd", [program, *_flags(options), *switches], self.directory / "run")

    @cached_property
    def apiserver(self) -> Daemon:
        """kube-apiserver, with the flags of the aggregation layer."""
        etcd_authority, etcd_pair = self._etcd_pki
        names = [
            "IP:127.0.0.1",
            f"IP:{KUBERNETES_SERVICE}",
            "DNS:localhost",
            "DNS:kubernetes.default.svc",
            "DNS:kubernetes",
        ]
        if self.shape.address != "127.0.0.1":
            names.append(f"IP:{self.shape.address}")
        serving = self.authority.issue("apiserver", "/CN=kube-apiserver", names=tuple(names))
        kubelet_client = self.authority.issue("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        front = Authority(self._pki, "front-proxy")
        front_client = front.issue("front-proxy-client", "/CN=front-proxy-client")
        options = {
            "bind-address": self.shape.address,
            "advertise-address": self.shape.address,
            "secure-port": str(self.port),
            "etcd-servers": f"https://127.0.0.1:{self._etcd_port}",
            "etcd-cafile": str(etcd_authority.pair.certificate),
            "etcd-certfile": str(etcd_pair.certificate),
            "etcd-keyfile": str(etcd_pair.key),
            "client-ca-file": str(self.authority.pair.certificate),
            "tls-cert-file": str(serving.certificate),
            "tls-private-key-file": str(serving.key),
            "kubelet-client-certificate": str(kubelet_client.certificate),
            "kubelet-client-key": str(kubelet_client.key),
            "kubelet-preferred-address-types": "InternalIP",
            "service-cluster-ip-range": SERVICE_NETWORK,
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": str(self._token_key.certificate),
            "service-account-signing-key-file": str(self._token_key.key),
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "requestheader-client-ca-file": str(front.pair.certificate),
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": str(front_client.certificate),
            "proxy-client-key-file": str(front_client.key),
            # On the node aggregated servers are reached at their endpoints; without nodes, by an external name.
            "enable-aggregator-routing": str(self.shape.scheduling).lower(),
            # A stopped server is wanted back at once; the default waits for clients of a load balancer.
            "shutdown-delay-duration": "0s",
        }
        return self._component("kube-apiserver", {**options, **self._audit_options()})

    @property
    def audit_log(self) -> Path:
        """One line of JSON for each write of `audited_users`, in the order in which they were answered."""
        return self.directory / "audit.log"

    def _audit_options(self) -> dict[str, str]:
        if not self.shape.audited_users:
            return {}
        writes = ["create", "update", "patch", "delete", "deletecollection"]
        kept = {"level": "Metadata", "users": list(self.shape.audited_users), "verbs": writes}
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [kept, {"level": "None"}],
        }
        path = self.directory / "audit-policy.json"
        path.write_text(json.dumps(policy))
        return {"audit-policy-file": str(path), "audit-log-path": str(self.audit_log)}

    @cached_property
    def _token_key(self) -> Pair:
        return signing_key(self._pki, "service-account")

    @cached_property
    def controller_manager(self) -> Daemon:
        """kube-controller-manager: Deployments, garbage collection, service accounts, and nodes where there are any."""
        kubeconfig = self.component_kubeconfig("controller-manager", "/CN=system:kube-controller-manager")
        options = {
            "kubeconfig": str(kubeconfig),
            "bind-address": "127.0.0.1",
            "secure-port": str(free_port()),
            "root-ca-file": str(self.authority.pair.certificate),
            "service-account-private-key-file": str(self._token_key.key),
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            "allocate-node-cidrs": str(self.shape.scheduling).lower(),
            "cluster-cidr": POD_NETWORK,
            "service-cluster-ip-range": SERVICE_NETWORK,
            **self.shape.controllers,
        }
        return self._component("kube-controller-manager", options)

    @cached_property
    def scheduler(self) -> Daemon:
        """kube-scheduler."""
        kubeconfig = self.component_kubeconfig("scheduler", "/CN=system:kube-scheduler")
        options = {
            "kubeconfig": str(kubeconfig),
            "bind-address": "127.0.0.1",
            "secure-port": str(free_port()),
            "leader-elect": "false",
        }
        return self._component("kube-scheduler", options)

    def _component(self, name: str, options: dict[str, str]) -> Daemon:
        return Daemon(name, [str(self.kube), name, *_flags(options)], self.directory / "run")

    def start(self) -> None:
        """Start etcd and the API server and wait until it is ready."""
        self.etcd.start()
        self.apiserver.start()
        self.apiserver.wait_ready("ready", self.ready, seconds=READY_SECONDS)
        say("etcd and kube-apiserver ready")

    def stop(self) -> None:
        """End what runs of it, the writers before the database."""
        for name in ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            Daemon(name, [], self.directory / "run").stop(seconds=30)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The admin's way to the API server."""
        context = ssl.create_default_context(cafile=str(self.authority.pair.certificate))
        context.load_cert_chain(self.admin.certificate, self.admin.key)
        return context

    def ready(self) -> bool:
        """Whether the API server says so itself on /readyz."""
        return answers_ok(f"{self.url}/readyz", context=self.tls)


def _flags(options: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]
