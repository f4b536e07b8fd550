"""Settings of the operator, read from the environment once by `main`.

| variable | default | meaning |
|---|---|---|
| OUTBOX_OPERATOR_WATCH_NAMESPACES | empty | namespaces to serve, separated by commas; empty: all of the cluster |
| OUTBOX_OPERATOR_NAMESPACE | that of the pod, else `default` | where the Lease lives |
| OUTBOX_OPERATOR_POD_NAME | host name | identity in the Lease and in Events |
| OUTBOX_OPERATOR_LEADER_ELECTION | true | whether a Lease decides who works; false only for a single replica |
| OUTBOX_OPERATOR_LEASE_NAME | outbox-operator | name of the Lease |
| OUTBOX_OPERATOR_PORT | 8080 | port of /metrics, /healthz and /readyz; 0: any free port, which is logged |
| OUTBOX_OPERATOR_RESYNC_SECONDS | 60 | seconds between two full looks at the cluster |
| OUTBOX_OPERATOR_WORKERS | 16 | resources reconciled at the same time |
| OUTBOX_OPERATOR_HOST_ACCESS | refused | whether pod templates may reach the node: refused or allowed |
| OUTBOX_OPERATOR_LOG_LEVEL | info | debug, info, warning or error |
| OUTBOX_OPERATOR_LOG_FORMAT | json | json or text |
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from outbox_operator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "OUTBOX_OPERATOR_"
NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NAMESPACE: Final = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True)
class Settings:
    """Settings of the operator; units in the names."""

    watch_namespaces: tuple[str, ...]
    """Namespaces to serve; empty: the whole cluster."""
    namespace: str
    pod_name: str
    leader_election: bool
    lease_name: str
    port: int
    resync_seconds: float
    workers: int
    host_access: bool
    """Whether pod templates may reach the node."""
    log_level: str
    log_format: Literal["json", "text"]


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a value is wrong; the message names the variable.
    """
    read = _Reader(environ)
    return Settings(
        watch_namespaces=read.namespaces("WATCH_NAMESPACES"),
        namespace=read.text("NAMESPACE", _own_namespace()),
        pod_name=read.text("POD_NAME", socket.gethostname()),
        leader_election=read.boolean("LEADER_ELECTION", default=True),
        lease_name=read.text("LEASE_NAME", "outbox-operator"),
        port=int(read.number("PORT", 8080, 0, 65535, whole=True)),
        resync_seconds=read.number("RESYNC_SECONDS", 60, 1, 3600),
        workers=int(read.number("WORKERS", 16, 1, 256, whole=True)),
        host_access=read.choice("HOST_ACCESS", "refused", ("refused", "allowed")) == "allowed",
        log_level=read.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error")).upper(),
        log_format="text" if read.choice("LOG_FORMAT", "json", ("json", "text")) == "text" else "json",
    )


def _own_namespace() -> str:
    try:
        return NAMESPACE_FILE.read_text().strip() or "default"
    except OSError:
        return "default"


class _Reader:
    """Reads one variable at a time; an empty value counts as unset, as charts render unset values so."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(PREFIX + name, "").strip() or default

    def namespaces(self, name: str) -> tuple[str, ...]:
        parts = [part.strip() for part in self.text(name, "").split(",") if part.strip()]
        for part in parts:
            if not _NAMESPACE.match(part):
                raise SettingsError(
                    f"{PREFIX}{name}: {part!r} is not the name of a namespace; separate names by commas"
                )
        return tuple(dict.fromkeys(parts))

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.text(name, str(default)).lower()
        if value not in _TRUE | _FALSE:
            raise SettingsError(f"{PREFIX}{name} must be true or false, not {value!r}")
        return value in _TRUE

    def number(self, name: str, default: float, low: float, high: float, *, whole: bool = False) -> float:
        text = self.text(name, str(default))
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise SettingsError(f"{PREFIX}{name} must be {kind} from {low} to {high}, not {text!r}")
        return value

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default).lower()
        if value not in allowed:
            raise SettingsError(f"{PREFIX}{name} must be one of {', '.join(allowed)}, not {value!r}")
        return value
