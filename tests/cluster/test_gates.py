"""Gates before the workers: what they say becomes a condition and an Event, and the old workers stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.manifests import publisher, subscription
from tests.cluster.predicates import exists, image
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster

SECONDS = 60.0
NO_CALLBACK = "callback: Could not import 'billing.x'. Module 'billing' has no attribute 'x'. Check the name."
MISSING = "migrations: Not applied: shop.0002_total. Run manage.py migrate."


def newest_pod(cluster: Cluster, selector: str, image_: str) -> str:
    """Wait for a pod of an image and return its name."""

    def of_image() -> str | None:
        pods = cluster.list("pods", selector)
        return next((pod["metadata"]["name"] for pod in pods if pod["spec"]["containers"][0]["image"] == image_), None)

    return wait_until(
        f"a pod of {image_}", of_image, seconds=SECONDS, state=lambda: str(cluster.list("pods", selector))
    )


def gate(name: str, message: str, code: int) -> dict[str, Any]:
    over = {"exitCode": code, "message": message, "reason": "Error" if code else "Completed"}
    failing = {"waiting": {"reason": "CrashLoopBackOff"}}
    return {
        "name": name,
        "image": "",
        "imageID": "",
        "ready": code == 0,
        "restartCount": 1,
        "state": failing if code else {"terminated": over},
        "lastState": {"terminated": over},
    }


def running(name: str) -> dict[str, Any]:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {"name": name, "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}


def test_a_failed_preflight_is_told_with_pythons_error_and_the_old_workers_stay(served: Cluster, name: str) -> None:
    selector = f"djangooutbox.io/subscription={name}"
    served.apply(subscription(name))
    served.make_ready(selector, 1)
    served.wait_condition("obsub", name, "Ready", "True", "WorkersAvailable")
    old = served.list("pods", selector)[0]["metadata"]["uid"]
    served.apply(subscription(name, image="shop:2"))
    pod = newest_pod(served, selector, "shop:2")
    served.patch_pod(pod, {"initContainerStatuses": [gate("preflight", NO_CALLBACK, 1)]})
    ready = served.wait_condition("obsub", name, "Ready", "False", "PreflightFailed")
    assert "Module 'billing' has no attribute 'x'" in ready["message"]
    assert "1 worker that was started before goes on." in ready["message"]
    assert "Module 'billing' has no attribute 'x'" in served.wait_event(name, "PreflightFailed")
    assert old in [found["metadata"]["uid"] for found in served.list("pods", selector)]
    # Going back to what worked is all it takes.
    served.apply(subscription(name))
    served.wait_condition("obsub", name, "Ready", "True", "WorkersAvailable")
    assert old in [found["metadata"]["uid"] for found in served.list("pods", selector)]


def test_workers_that_wait_for_migrations_say_which(served: Cluster, name: str) -> None:
    served.apply(publisher(name, migrations={"policy": "Wait"}))
    pod = newest_pod(served, f"djangooutbox.io/publisher={name}", "shop:1")
    statuses = [gate("preflight", MISSING, 0), running("await-migrations")]
    served.patch_pod(pod, {"initContainerStatuses": statuses})
    ready = served.wait_condition("obpub", name, "Ready", "False", "MigrationsPending")
    assert "Not applied: shop.0002_total." in ready["message"]
    served.wait_event(name, "MigrationsPending")


def test_a_roll_is_explained_by_the_image_once_though_the_gates_have_it_too(served: Cluster, name: str) -> None:
    served.apply(publisher(name))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    served.apply(publisher(name, image="shop:2"))
    served.wait("deployment", f"{name}-pub", "the new image", image("shop:2"))
    assert served.wait_event(name, "RollingWorkers") == (
        "Image changed from shop:1 to shop:2; the workers are replaced."
    )


def test_gates_can_be_taken_away_and_brought_back(served: Cluster, name: str) -> None:
    def gates(deployment: dict[str, Any]) -> list[str]:
        return [item["name"] for item in deployment["spec"]["template"]["spec"].get("initContainers", [])]

    served.apply(publisher(name, preflight={"policy": "Disabled"}))
    served.wait("deployment", f"{name}-pub", "no gate", lambda found: gates(found) == [])
    served.apply(publisher(name, migrations={"policy": "Wait"}))
    served.wait("deployment", f"{name}-pub", "two", lambda found: gates(found) == ["preflight", "await-migrations"])
    served.apply(publisher(name, preflight={"policy": "Disabled"}))
    served.wait("deployment", f"{name}-pub", "no gate again", lambda found: gates(found) == [])


def test_restarting_an_ordered_subscription_by_kubectl_survives(served: Cluster, name: str) -> None:
    served.apply(subscription(name, ordering="Ordered"))
    served.wait("deployment", f"{name}-sub", "exists", exists)
    served.kubectl("rollout", "restart", f"deployment/{name}-sub")
    served.apply(subscription(name, ordering="Ordered", image="shop:2"))
    found = served.wait("deployment", f"{name}-sub", "the new image", image("shop:2"))
    assert "kubectl.kubernetes.io/restartedAt" in found["spec"]["template"]["metadata"]["annotations"]
    assert found["spec"]["strategy"] == {"type": "Recreate"}
