"""A real Kubernetes node on this machine: control plane, containerd, kubelet, kube-proxy, pod network and cluster DNS.

`up` is idempotent and clears what a crashed run has left; `down` ends exactly what was started. One node a machine: a
second one would want the same addresses, so another clone is told whose node it is that runs.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig import nodefiles, teardown
from tests.rig.archives import write_program_image
from tests.rig.binaries import binary, build_binaries, cache_key, exclusively
from tests.rig.containerd import Containerd
from tests.rig.controlplane import POD_NETWORK, ControlPlane, Shape
from tests.rig.nodefiles import COREDNS_IMAGE, DNS_SERVICE, NODE_ADDRESS, NODE_NAME, PAUSE_IMAGE, Places
from tests.rig.packages import install_packages
from tests.rig.paths import RIG_SOURCES, cache_directory, state_directory
from tests.rig.process import Daemon, free_port, run
from tests.rig.progress import say
from tests.rig.waiting import RigError, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROGRAMS = (
    "kubelet",
    "kube-proxy",
    "kube-scheduler",
    "kube-controller-manager",
    "containerd",
    "kube-apiserver",
    "etcd",
)
_NODE_SECONDS = 120


class Node:
    """The node of this clone; all its state is in files, so another process can go on with it."""

    def __init__(self) -> None:
        self.directory = state_directory() / "cluster"
        self.kubeconfig = state_directory() / "kubeconfig"
        self.logs = self.directory / "run"
        self.places = Places()

    # --- what runs ------------------------------------------------------------------------------------------------

    def daemon(self, name: str) -> Daemon:
        """A program of the node by name, as its pid file knows it."""
        return Daemon(name, [], self.logs)

    def is_up(self) -> bool:
        """Whether every program of the node runs and the API server answers."""
        if not self.kubeconfig.exists() or any(self.daemon(name).pid is None for name in _PROGRAMS):
            return False
        try:
            return self.kubectl("get", "--raw", "/readyz", "--request-timeout=5s") == "ok"
        except RigError:
            return False

    def status(self) -> dict[str, int | None]:
        """The process id of each program, None for one that does not run."""
        return {name: self.daemon(name).pid for name in _PROGRAMS}

    def containerd(self) -> Containerd:
        """The node's container runtime."""
        return Containerd(self.places, cache_directory() / "containerd", self.logs)

    def kubectl(self, *arguments: str, input: str | None = None, seconds: float = 300) -> str:  # noqa: A002 - as subprocess.run
        """Run kubectl as the cluster's admin."""
        return run([*self.client("kubectl"), *arguments], input_text=input, seconds=seconds)

    def client(self, name: str) -> list[str]:
        """The command of the rig's own kubectl or helm: a client of the cluster's very version."""
        return [str(binary(name)), "--kubeconfig", str(self.kubeconfig)]

    def has_image(self, tag: str, image_id: str) -> bool:
        """Whether the node's store has this image under this tag."""
        return self.containerd().loaded_id(tag) == image_id

    def load(self, tag: str, image_id: str, save: Callable[[Path], None], archive: Path) -> None:
        """Bring an image into the node; `save` writes it to `archive`, which is removed again."""
        try:
            save(archive)
            self.containerd().load(archive, tag, image_id)
        finally:
            archive.unlink(missing_ok=True)

    # --- up -------------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Bring the node up until it is Ready and answers for cluster names; does nothing when it is."""
        if os.geteuid() != 0:
            raise RigError("a Kubernetes node needs root; CLUSTER=current works with a cluster that you have")
        with self._machine_lock():
            self._refuse_foreign_node()
            if self.is_up():
                say("the node is up already")
                return
            install_packages()
            build_binaries()
            self._clear()
            self._bring_up()

    @contextmanager
    def _machine_lock(self) -> Iterator[None]:
        lock = Path("/run/lock/django-outbox-rig.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with exclusively(lock):
            yield

    def _refuse_foreign_node(self) -> None:
        if not self.places.owner.exists():
            return
        owner = Path(self.places.owner.read_text().strip())
        pid_files = (owner / "cluster" / "run").glob("*.pid")
        alive = any(Daemon(file.stem, [], file.parent).pid for file in pid_files)
        if alive and owner != state_directory():
            raise RigError(
                f"the node of {owner.parent} runs on this machine: end it there with `python -m tests.rig down`"
            )

    def _bring_up(self) -> None:
        for folder in (self.directory, self.logs, self.places.runtime / "cni", self.places.kubelet):
            folder.mkdir(parents=True, exist_ok=True)
        self.places.owner.write_text(str(state_directory()))
        teardown.prepare_host(self.places)
        (self.places.runtime / "cni" / "10-rig.conflist").write_text(nodefiles.cni(self.places))
        containerd = self.containerd()
        containerd.start(nodefiles.containerd(self.places, containerd.root, containerd.snapshotter))
        plane = ControlPlane(self.directory, binary("kube"), Shape(NODE_ADDRESS, scheduling=True))
        plane.start()
        plane.write_kubeconfig(self.kubeconfig)
        self._link_programs()
        plane.controller_manager.start()
        plane.scheduler.start()
        containerd.wait_ready()
        self._remove_pods()
        self._load_own_images(containerd)
        say("containerd ready")
        self._kubelet(plane).start()
        self._kube_proxy(plane).start()
        self.kubectl("apply", "-f", str(RIG_SOURCES / "manifests" / "dns.yaml"))
        wait_until("the node is Ready", self._node_ready, seconds=_NODE_SECONDS, state=self._node_state)
        say("node Ready")
        wait_until("cluster DNS answers", _dns_answers, seconds=_NODE_SECONDS, state=self._dns_state)
        say("cluster DNS answers")

    def _link_programs(self) -> None:
        folder = state_directory() / "bin"
        folder.mkdir(exist_ok=True)
        for name in ("kubectl", "helm", "kube"):
            link = folder / name
            link.unlink(missing_ok=True)
            link.symlink_to(binary(name).resolve())

    def _load_own_images(self, containerd: Containerd) -> None:
        for tag, program in ((PAUSE_IMAGE, "pause"), (COREDNS_IMAGE, "coredns")):
            image_id = f"{program}-{cache_key()}"
            if containerd.loaded_id(tag) != image_id:
                archive = self.directory / f"{program}.tar"
                write_program_image(archive, tag=tag, program=binary(program))
                containerd.load(archive, tag, image_id)
                archive.unlink()

    def _kubelet(self, plane: ControlPlane) -> Daemon:
        configuration = self.directory / "kubelet.json"
        configuration.write_text(
            nodefiles.kubelet(self.places, plane.authority.pair.certificate, (free_port(), free_port()))
        )
        options = {
            "config": configuration,
            "kubeconfig": plane.component_kubeconfig("kubelet", f"/O=system:nodes/CN=system:node:{NODE_NAME}"),
            "hostname-override": NODE_NAME,
            "node-ip": NODE_ADDRESS,
            "root-dir": self.places.kubelet,
            "cert-dir": self.places.kubelet / "pki",
        }
        return self._kube("kubelet", options)

    def _kube_proxy(self, plane: ControlPlane) -> Daemon:
        options = {
            "kubeconfig": plane.component_kubeconfig("kube-proxy", "/CN=system:kube-proxy"),
            "hostname-override": NODE_NAME,
            "proxy-mode": "nftables",
            "cluster-cidr": POD_NETWORK,
            "conntrack-max-per-core": 0,
            "healthz-bind-address": f"127.0.0.1:{free_port()}",
            "metrics-bind-address": f"127.0.0.1:{free_port()}",
        }
        return self._kube("kube-proxy", options)

    def _kube(self, name: str, options: dict[str, object]) -> Daemon:
        flags = [f"--{key}={value}" for key, value in options.items()]
        # Debian keeps nft, conntrack and iptables in /usr/sbin, which a plain PATH may lack.
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        return Daemon(name, [str(binary("kube")), name, *flags], self.logs, {"PATH": path})

    def _node_ready(self) -> bool:
        try:
            path = "{.status.conditions[?(@.type=='Ready')].status}"
            return self.kubectl("get", "node", NODE_NAME, "-o", f"jsonpath={path}") == "True"
        except RigError:
            return False

    def _node_state(self) -> str:
        return tail(self.logs / "kubelet.log") + "\n" + tail(self.logs / "containerd.log", 10)

    def _dns_state(self) -> str:
        pods = self.kubectl("describe", "pods", "-n", "kube-system")
        return f"{pods[-3000:]}\n{tail(self.logs / 'kubelet.log')}\n{tail(self.logs / 'kube-proxy.log', 10)}"

    # --- down -----------------------------------------------------------------------------------------------------

    def down(self) -> None:
        """End everything of the node and remove its state; the image store and the built programs stay."""
        if os.geteuid() != 0:
            raise RigError("the node was started by root: run this as root")
        with self._machine_lock():
            self._refuse_foreign_node()
            self._clear()
            say("the node is down")

    def _clear(self) -> None:
        for name in ("kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager"):
            self.daemon(name).stop(seconds=15)
        if self.daemon("containerd").pid is not None:
            self._remove_pods()
        self.daemon("containerd").stop(seconds=15)
        teardown.end_shims(self.places)
        teardown.end_cgroup_members()
        for name in ("kube-apiserver", "etcd"):
            self.daemon(name).stop(seconds=15)
        teardown.unmount_below(self.places.runtime, self.places.kubelet)
        teardown.remove_rules()
        teardown.remove_files(self.places)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.kubeconfig.unlink(missing_ok=True)

    def _remove_pods(self) -> None:
        kube = state_directory() / "bin" / "kube"  # of this very node; nothing is built in order to take it down
        try:
            run([str(kube), "remove-pods", f"unix://{self.places.containerd_socket}"], seconds=180)
        except RigError as error:
            say(f"some pods did not go in good order, their processes will be ended: {error}")


def _dns_answers() -> bool:
    """Ask the DNS Service for the API server's name, so that the answer proves kube-proxy, pod network and DNS."""
    labels = b"".join(bytes([len(part)]) + part for part in b"kubernetes.default.svc.cluster.local".split(b"."))
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(0.5)
        link.sendto(query, (DNS_SERVICE, 53))
        answer = link.recv(512)
    identifier, flags, _, answers = struct.unpack(">HHHH", answer[:8])
    return bool(identifier == 7 and flags & 0x000F == 0 and answers > 0)
