"""What resources refer to: Secrets and ConfigMaps of the environment, and the workload that is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.manifests import config_map, publisher, secret, subscription, web
from tests.cluster.operator_process import SECONDS
from tests.cluster.predicates import container, exists, image, replicas
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.operator_process import Cluster, OperatorProcess


class TestConfiguration:
    """Secrets and ConfigMaps that the environment is taken from."""

    def test_a_missing_secret_is_told_and_the_workers_start_as_soon_as_it_exists(
        self, served: Cluster, name: str
    ) -> None:
        served.apply(publisher(name, envFrom=[{"secretRef": {"name": f"{name}-env"}}]))
        ready = served.wait_condition("obpub", name, "Ready", "False", "SecretNotFound")
        expected = f"Secret {name}-env does not exist in namespace shared. Create it"
        assert ready["message"].startswith(expected)
        served.wait_condition("obpub", name, "ConfigResolved", "False", "SecretNotFound")
        assert served.wait_event(name, "SecretNotFound").startswith(expected)
        assert served.get("deployment", f"{name}-pub") is None
        served.apply(secret(f"{name}-env", TOKEN="1"))
        served.wait("deployment", f"{name}-pub", "exists", exists)
        served.wait_condition("obpub", name, "ConfigResolved", "True", "AllReferencesFound")

    def test_a_missing_key_is_named(self, served: Cluster, name: str) -> None:
        served.apply(secret(name, other="1"))
        variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "token"}}}
        served.apply(publisher(name, env=[variable]))
        ready = served.wait_condition("obpub", name, "Ready", "False", "SecretNotFound")
        assert "has no key token" in ready["message"]

    @pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
    def test_a_changed_secret_or_config_map_replaces_the_workers_once_and_says_why(
        self, served: Cluster, name: str, shared_operator: OperatorProcess, kind: str
    ) -> None:
        make, source = (secret, "secretRef") if kind == "Secret" else (config_map, "configMapRef")
        served.apply(make(name, TOKEN="1"))
        served.apply(publisher(name, envFrom=[{source: {"name": name}}]))
        before = served.wait("deployment", f"{name}-pub", "exists", exists)
        served.apply(make(name, TOKEN="2"))
        message = served.wait_event(name, "RollingWorkers")
        assert message == f"{kind} {name} changed; the workers are replaced."
        shared_operator.wait_looks(10, "Publisher")
        after = served.must_get("deployment", f"{name}-pub")
        assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
        assert [reason for reason, _ in served.events(name)].count("RollingWorkers") == 1
        version = served.must_get(kind, name)["metadata"]["resourceVersion"]
        shown = [{"kind": kind, "name": name, "version": version}]
        assert served.must_get("obpub", name)["status"]["configRefs"] == shown

    def test_with_restart_policy_never_a_changed_secret_replaces_nobody(
        self, served: Cluster, name: str, shared_operator: OperatorProcess
    ) -> None:
        served.apply(secret(name, TOKEN="1"))
        served.apply(publisher(name, envFrom=[{"secretRef": {"name": name}}], restartPolicy="Never"))
        before = served.wait("deployment", f"{name}-pub", "exists", exists)
        served.apply(secret(name, TOKEN="2"))
        version = served.must_get("secret", name)["metadata"]["resourceVersion"]
        served.wait("obpub", name, "the new version", lambda obj: refers_to(obj, version))
        shared_operator.wait_looks(3, "Publisher")
        after = served.must_get("deployment", f"{name}-pub")
        assert after["metadata"]["generation"] == before["metadata"]["generation"]

    def test_workers_that_run_are_left_alone_when_their_secret_is_deleted(
        self, served: Cluster, name: str, shared_operator: OperatorProcess
    ) -> None:
        served.apply(secret(name, TOKEN="1"))
        served.apply(publisher(name, envFrom=[{"secretRef": {"name": name}}]))
        before = served.wait("deployment", f"{name}-pub", "exists", exists)
        served.kubectl("delete", "secret", name)
        served.apply(publisher(name, image="shop:2", envFrom=[{"secretRef": {"name": name}}]))
        served.wait_condition("obpub", name, "Ready", "False", "SecretNotFound")
        shared_operator.wait_looks(5, "Publisher")
        assert (
            served.must_get("deployment", f"{name}-pub")["metadata"]["generation"] == before["metadata"]["generation"]
        )
        served.patch("obpub", name, {"spec": {"state": "Suspended"}})
        served.wait("deployment", f"{name}-pub", "no replicas", replicas(0))
        served.patch("obpub", name, {"spec": {"state": "Running"}})
        served.apply(secret(name, TOKEN="1"))
        served.wait("deployment", f"{name}-pub", "the new image", image("shop:2"))
        served.wait("deployment", f"{name}-pub", "1 replica", replicas(1))


class TestFollowing:
    """`workloadRef`."""

    def test_a_missing_workload_is_told_and_followed_as_soon_as_it_exists(self, served: Cluster, name: str) -> None:
        served.apply(publisher(name, workloadRef={"name": f"{name}-web"}))
        ready = served.wait_condition("obpub", name, "Ready", "False", "WorkloadNotFound")
        assert f"Deployment {name}-web does not exist in namespace shared" in ready["message"]
        served.wait_event(name, "WorkloadNotFound")
        served.apply(web(f"{name}-web", "shop:5", env=[{"name": "DEBUG", "value": "0"}]))
        found = served.wait("deployment", f"{name}-pub", "the image of the application", image("shop:5"))
        assert {"name": "DEBUG", "value": "0"} in container(found)["env"]

    def test_a_new_image_variable_or_secret_of_the_application_rolls_its_workers_and_says_why(
        self, served: Cluster, name: str
    ) -> None:
        served.apply(web(f"{name}-web", "shop:1"))
        served.apply(publisher(name, workloadRef={"name": f"{name}-web"}))
        served.wait("deployment", f"{name}-pub", "the image of the application", image("shop:1"))
        served.kubectl("set", "image", f"deployment/{name}-web", "web=shop:2")
        served.wait("deployment", f"{name}-pub", "the new image of the application", image("shop:2"))
        assert served.wait_event(name, "RollingWorkers").startswith("Image changed from shop:1 to shop:2")
        served.wait("obpub", name, "the revision", follows(f"{name}-web", "2"))
        served.apply(secret(f"{name}-env", TOKEN="1"))
        served.kubectl("set", "env", f"deployment/{name}-web", "DEBUG=1")
        served.kubectl("set", "env", f"deployment/{name}-web", f"--from=secret/{name}-env")
        served.wait("obpub", name, "the revision", follows(f"{name}-web", "4"))
        reference = {"secretKeyRef": {"name": f"{name}-env", "key": "TOKEN"}}
        wanted = [{"name": "DEBUG", "value": "1"}, {"name": "TOKEN", "valueFrom": reference}]
        variables = container(served.must_get("deployment", f"{name}-pub"))["env"]
        assert [item for item in variables if item in wanted] == wanted
        told = f"Secret {name}-env is now used by the environment"
        wait_until(
            "the Event of the last roll",
            lambda: any(message.startswith(told) for _, message in served.events(name)),
            seconds=SECONDS,
            state=lambda: str(served.events(name)),
        )

    def test_following_workers_is_refused(self, served: Cluster, name: str) -> None:
        served.apply(publisher(name, workloadRef={"name": f"{name}-sub"}), subscription(name))
        served.wait_condition("obpub", name, "Ready", "False", "WorkloadRefused")
        assert served.get("deployment", f"{name}-pub") is None


def refers_to(obj: dict[str, Any], version: str) -> bool:
    """Whether the status says that this version of a Secret or ConfigMap is used."""
    references = obj.get("status", {}).get("configRefs", [])
    return [reference["version"] for reference in references] == [version]


def follows(workload: str, revision: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the status says that this revision of a Deployment is followed."""
    followed = {"name": workload, "revision": revision}
    return lambda found: found.get("status", {}).get("workload") == followed
