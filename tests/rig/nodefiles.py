"""The configuration files of the node's programs, as text; pure, `Node` writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

NODE_NAME = "rig"
# An address of our own on the loopback interface: reachable from pods and from here, independent of the machine's
# networks, and outside of the pods' and the services' ranges.
NODE_ADDRESS = "10.245.0.1"
POD_SUBNET = "10.244.0.0/24"
DNS_SERVICE = "10.96.0.10"
PAUSE_IMAGE = "localhost/pause:rig"
COREDNS_IMAGE = "localhost/coredns:rig"
CGROUP = "outbox-rig"


@dataclass(frozen=True)
class Places:
    """Directories and sockets of the node. Short and fixed: a Unix socket's path has room for 107 characters."""

    runtime: Path = Path("/run/django-outbox-rig")
    kubelet: Path = Path("/var/lib/django-outbox-rig")

    @property
    def containerd_socket(self) -> Path:
        return self.runtime / "containerd.sock"

    @property
    def owner(self) -> Path:
        """Says whose node it is that runs: one node a machine."""
        return self.runtime / "owner"

    @property
    def saved_host(self) -> Path:
        """What the machine was like before."""
        return self.runtime / "host-before.json"


def containerd(places: Places, root: Path, snapshotter: str = "overlayfs") -> str:
    """containerd's configuration; images live below `root`, which outlives the node."""
    return f"""version = 2
root = "{root}"
state = "{places.runtime}/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]

[grpc]
  address = "{places.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{places.runtime}/cni"
"""


def cni(places: Places) -> str:
    """The pods' network: one routed link a pod, so that no bridge and no bridge filtering of the kernel is needed.

    No masquerading: pods talk to each other, to Services and to this machine; what they send does not leave it.
    """
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_SUBNET}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(places.runtime / "ipam"),
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": ipam}
    return json.dumps({"cniVersion": "0.4.0", "name": "rig", "plugins": [plugin]}, indent=1)


def kubelet(places: Places, client_ca: Path, ports: tuple[int, int]) -> str:
    """KubeletConfiguration; `ports` are the kubelet's own and its health check's."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            "port": ports[0],
            "healthzPort": ports[1],
            "authentication": {
                "x509": {"clientCAFile": str(client_ca)},
                "webhook": {"enabled": True},
                "anonymous": {"enabled": False},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{places.containerd_socket}",
            "podLogsDir": str(places.kubelet / "logs"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{CGROUP}",
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            # A test machine's disk may be as full as it likes.
            "evictionHard": {"memory.available": "1%", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "makeIPTablesUtilChains": False,
            # Unprivileged containers of CI cannot raise limits or lower their OOM score; the kubelet then goes on.
            "featureGates": {"KubeletInUserNamespace": True},
        },
        indent=1,
    )


def service_links() -> list[list[str]]:
    """Commands of `ip` that make the node's address and let this machine reach Services without a default route."""
    return [
        ["ip", "address", "add", f"{NODE_ADDRESS}/32", "dev", "lo"],
        ["ip", "route", "add", "10.96.0.0/16", "dev", "lo", "src", NODE_ADDRESS],
    ]
