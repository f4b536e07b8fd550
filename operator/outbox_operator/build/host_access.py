"""What in a pod template reaches the node itself. Refused unless the operator is told otherwise.

Whoever may write a Publisher need not be allowed to run pods on the host, and the operator must not lend its rights for
that. The list is that of the baseline pod security standard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HOST_NAMESPACES: Final = ("hostNetwork", "hostPID", "hostIPC")
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
"""Capabilities that a container may add without getting at the node."""


def host_access(template: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields of a pod template that reach the node."""
    spec = template["spec"]
    yield from (name for name in _HOST_NAMESPACES if spec.get(name))
    yield from (f"volumes[{item.get('name')}].hostPath" for item in spec.get("volumes") or () if item.get("hostPath"))
    yield from _of_security("securityContext", spec)
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            yield from _of_container(f"{kind}[{container.get('name')}]", container)


def _of_container(path: str, container: Mapping[str, Any]) -> Iterator[str]:
    security = container.get("securityContext") or {}
    if security.get("privileged"):
        yield f"{path}.securityContext.privileged"
    added = (security.get("capabilities") or {}).get("add") or ()
    for capability in added:
        if capability not in _CAPABILITIES:
            yield f"{path}.securityContext.capabilities.add {capability}"
    if security.get("procMount", "Default") != "Default":
        yield f"{path}.securityContext.procMount"
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"{path}.ports[{port['hostPort']}].hostPort"
    yield from _of_security(f"{path}.securityContext", container)


def _of_security(path: str, holder: Mapping[str, Any]) -> Iterator[str]:
    windows = (holder.get("securityContext") or {}).get("windowsOptions") or {}
    if windows.get("hostProcess"):
        yield f"{path}.windowsOptions.hostProcess"
