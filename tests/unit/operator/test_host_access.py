"""What in a pod template reaches the node."""

from __future__ import annotations

from typing import Any

import pytest

from outbox_operator.api import conditions as api
from outbox_operator.build.host_access import host_access
from outbox_operator.plan import Observed, plan
from tests.unit.operator.objects import following, publisher, workload


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"hostIPC": True}, "hostIPC"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volumes[v].hostPath"),
        ({"containers": [{"name": "a", "ports": [{"hostPort": 80}]}]}, "containers[a].ports[80].hostPort"),
        (
            {"initContainers": [{"name": "a", "securityContext": {"privileged": True}}]},
            "initContainers[a].securityContext.privileged",
        ),
        (
            {"containers": [{"name": "a", "securityContext": {"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}}}]},
            "containers[a].securityContext.capabilities.add SYS_ADMIN",
        ),
        (
            {"containers": [{"name": "a", "securityContext": {"procMount": "Unmasked"}}]},
            "containers[a].securityContext.procMount",
        ),
        (
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            "securityContext.windowsOptions.hostProcess",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_way_to_the_node_is_named(spec: dict[str, Any], path: str) -> None:
    assert list(host_access({"spec": spec})) == [path]


def test_workers_as_they_are_built_do_not_reach_the_node() -> None:
    assert plan(publisher(), Observed()).rejected is None


def test_a_followed_workload_lends_no_access_to_the_node() -> None:
    volumes = [{"name": "v", "hostPath": {"path": "/etc"}}]
    observed = {"workload": workload({"volumeMounts": [{"name": "v", "mountPath": "/host"}]}, volumes=volumes)}
    found = plan(following(), Observed(**observed))  # type: ignore[arg-type]
    assert found.deployment is None
    assert found.rejected is not None
    assert found.rejected.reason == api.HOST_ACCESS_REFUSED
    allowed = plan(following(), Observed(**observed, host_access=True))  # type: ignore[arg-type]
    assert allowed.rejected is None
    assert allowed.deployment is not None
