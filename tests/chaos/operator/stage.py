"""Everything that takes part in a run: an API server, two operators behind a proxy, and what people have made."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tests.chaos.operator import scene
from tests.chaos.operator.people import NAMESPACE, People
from tests.chaos.operator.plan import OPERATORS
from tests.chaos.operator.truth import Snapshot
from tests.chaos.processes import Process
from tests.rig import ApiServer
from tests.rig.process import free_port
from tests.rig.proxy import HOST, Proxy
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.proxy import Door

REPOSITORY: Final = Path(__file__).parents[3]
GROUP: Final = "operators"
RESYNC_SECONDS: Final = 10
_KINDS: Final = (
    "Publisher",
    "Subscription",
    "Deployment",
    "ReplicaSet",
    "Pod",
    "Secret",
    "ConfigMap",
    "PodDisruptionBudget",
)


@dataclass
class Stage:
    """A run's parts."""

    folder: Path
    server: ApiServer
    proxy: Proxy
    doors: dict[str, Door]
    operators: dict[str, Process]
    people: People
    resources: tuple[str, ...]

    def snapshot(self) -> Snapshot:
        """Read everything in the namespace."""
        return Snapshot({kind: self.people.list(kind) for kind in _KINDS})


@contextlib.contextmanager
def stage(folder: Path, resources: int) -> Iterator[Stage]:
    """Start the servers and make the scene; the operators are started by the run."""
    crds = (REPOSITORY / "crds",)
    with (
        ApiServer(with_controller_manager=True, crds=crds, audited_users=OPERATORS) as server,
        Proxy() as proxy,
    ):
        people = People(server.url, server.tls)
        upstream = (HOST, int(urlsplit(server.url).port or 0))
        doors = {name: proxy.open(name, upstream) for name in OPERATORS}
        operators = {name: _operator(name, server, doors[name].port, folder) for name in OPERATORS}
        found = Stage(folder, server, proxy, doors, operators, people, scene.resource_names(resources))
        _make_scene(found)
        try:
            yield found
        finally:
            for process in operators.values():
                process.stop(20)


def _operator(name: str, server: ApiServer, port: int, folder: Path) -> Process:
    probes = free_port()
    environment = {
        "KUBECONFIG": str(server.identity(name, GROUP, server=f"https://{HOST}:{port}")),
        "PYTHONPATH": str(REPOSITORY / "operator"),
        "OUTBOX_OPERATOR_NAMESPACE": NAMESPACE,
        "OUTBOX_OPERATOR_POD_NAME": name,
        "OUTBOX_OPERATOR_PORT": str(probes),
        "OUTBOX_OPERATOR_RESYNC_SECONDS": str(RESYNC_SECONDS),
        "OUTBOX_OPERATOR_LOG_FORMAT": "text",
    }
    return Process(
        name,
        [sys.executable, "-m", "outbox_operator", "run"],
        environment,
        REPOSITORY,
        folder / f"{name}.log",
        port=probes,
        liveness="/healthz",
        patient=True,
    )


def _make_scene(found: Stage) -> None:
    people = found.people
    people.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    people.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": GROUP},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": GROUP}],
        }
    )
    for name in (*scene.SECRETS, *scene.WORKLOADS):
        people.create(scene.referred(name))
    for obj in scene.foreign():
        people.create(obj)
    # While it starts up, a controller-manager gives up for good when the API server goes.
    wait_until(
        "the controller-manager works",
        lambda: all((people.get("Deployment", name) or {}).get("status") for name in scene.WORKLOADS),
        seconds=120,
    )
    for name in found.resources:
        people.create(scene.resource(name))
