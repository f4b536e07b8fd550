"""Taking the node away without a trace: pods, shims, mounts, rules, addresses, control groups.

Every function here touches only what carries the rig's own names (its runtime directory, address, tables, control
group) and may be repeated, so it is safe to run after a crash, when no pid file tells the whole story.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig.nodefiles import CGROUP, service_links
from tests.rig.process import run, start_time
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.rig.nodefiles import Places

_FORWARDING = "net/ipv4/ip_forward"
# What kubelet and kube-proxy set on a machine; put back at the end.
_SYSCTLS = (
    _FORWARDING,
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/conf/all/route_localnet",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
)
# Fixed places of upstream's programs; those that were not there before go at the end.
_FOLDERS = ("/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")


def prepare_host(places: Places) -> None:
    """Give this machine what a node needs, remembering what was before."""
    kernel = Path("/proc/sys")
    before = {name: (kernel / name).read_text() for name in _SYSCTLS if (kernel / name).exists()}
    new = [folder for folder in _FOLDERS if not Path(folder).exists()]
    places.saved_host.write_text(json.dumps({"sysctls": before, "new_folders": new}))
    (kernel / _FORWARDING).write_text("1")
    for argv in service_links():
        run(argv)
    for hierarchy in cgroup_hierarchies():
        _make_cgroup(hierarchy)


def restore_host(places: Places) -> None:
    """Undo `prepare_host`."""
    if places.saved_host.exists():
        before = json.loads(places.saved_host.read_text())
        for name, value in before["sysctls"].items():
            (Path("/proc/sys") / name).write_text(value)
        for folder in before["new_folders"]:
            if not Path(folder, "containerd.sock").exists():  # a system's containerd that has been started since
                shutil.rmtree(folder, ignore_errors=True)
    for argv in reversed(service_links()):
        undo = ["delete" if word == "add" else word for word in argv]
        subprocess.run(undo, check=False, capture_output=True)
    for hierarchy in cgroup_hierarchies():
        _remove_cgroup(hierarchy / CGROUP)


def cgroup_hierarchies() -> list[Path]:
    """The mount points of all control group hierarchies, version 1 and 2."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def _make_cgroup(hierarchy: Path) -> None:
    controllers = hierarchy / "cgroup.controllers"
    if controllers.exists():
        for controller in controllers.read_text().split():
            with contextlib.suppress(OSError):  # one that the kernel cannot delegate is one that pods do without
                (hierarchy / "cgroup.subtree_control").write_text(f"+{controller}")
    group = hierarchy / CGROUP
    group.mkdir(exist_ok=True)
    # A version 1 cpuset starts empty, and nothing runs in an empty one.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and not controllers.exists():
            (group / name).write_text((hierarchy / name).read_text())


def _remove_cgroup(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # the kernel is still busy with it; empty groups do no harm
            Path(folder).rmdir()


def end_shims(places: Places) -> None:
    """Kill the containers' shims of our containerd that are left; each takes its container's processes along."""
    marker = str(places.containerd_socket).encode()
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = cmdline.read_bytes().split(b"\0")
            if b"containerd-shim" in words[0] and marker in words:
                _kill(int(cmdline.parent.name))


def end_cgroup_members() -> None:
    """Kill every process that is still in our control group; only containers ever were."""
    for hierarchy in cgroup_hierarchies():
        for members in (hierarchy / CGROUP).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                for pid in members.read_text().split():
                    _kill(int(pid))


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(f"process {pid} gone", lambda: start_time(pid) is None, seconds=10, every=0.02)


def unmount_below(*folders: Path) -> None:
    """Unmount everything below the folders, the deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line.split()[4]) for line in lines]
    for point in sorted(set(points), key=len, reverse=True):
        if any(Path(point).is_relative_to(folder) for folder in folders):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def remove_rules() -> None:
    """Delete kube-proxy's tables."""
    for family in ("ip", "ip6"):
        subprocess.run(["nft", "delete", "table", family, "kube-proxy"], check=False, capture_output=True)


def remove_files(places: Places) -> None:
    """Delete the node's directories and the log links that point into them."""
    for link in Path("/var/log/containers").glob("*"):
        if link.is_symlink() and str(places.kubelet) in str(link.readlink()):
            link.unlink()
    restore_host(places)
    for folder in (places.kubelet, places.runtime):
        shutil.rmtree(folder, ignore_errors=True)
