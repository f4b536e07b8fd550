"""State of one resource: reconciling paused and taken up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.manifests import publisher
from tests.cluster.predicates import exists, image, replicas
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster, OperatorProcess

PAUSE = "djangooutbox.io/reconcile=Paused"


def test_while_reconciling_is_paused_nothing_but_the_status_is_written_and_removal_heals(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    served.apply(publisher(name, replicas=1))
    served.make_ready(f"djangooutbox.io/publisher={name}", 1)
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    served.kubectl("annotate", "obpub", name, PAUSE)
    served.wait_condition("obpub", name, "Suspended", "True", "ReconciliationPaused")
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    served.kubectl("scale", "deployment", f"{name}-pub", "--replicas=3")
    served.patch("obpub", name, {"spec": {"image": "shop:2"}})
    shared_operator.wait_looks(3, "Publisher")
    found = served.must_get("deployment", f"{name}-pub")
    assert (replicas(3)(found), image("shop:1")(found)) == (True, True)
    served.wait("obpub", name, "observed", lambda obj: obj.get("status", {}).get("observedGeneration") == 2)
    served.kubectl("annotate", "obpub", name, "djangooutbox.io/reconcile-")
    served.wait("deployment", f"{name}-pub", "1 replica", replicas(1))
    served.wait("deployment", f"{name}-pub", "the new image", image("shop:2"))
    served.wait_condition("obpub", name, "Suspended", "False", "Running")
    reasons = [reason for reason, _ in served.events(name)]
    assert (reasons.count("ReconciliationPaused"), reasons.count("ReconciliationResumed")) == (1, 1)


def test_a_resource_that_is_created_paused_makes_no_workers_until_it_is_released(served: Cluster, name: str) -> None:
    manifest = publisher(name)
    manifest["metadata"]["annotations"] = {"djangooutbox.io/reconcile": "Paused"}
    served.apply(manifest)
    served.wait_condition("obpub", name, "Ready", "False", "ReconciliationPaused")
    assert served.get("deployment", f"{name}-pub") is None
    served.kubectl("annotate", "obpub", name, "djangooutbox.io/reconcile-")
    served.wait("deployment", f"{name}-pub", "exists", exists)


def test_a_paused_resource_can_be_deleted_and_leaves_nothing(served: Cluster, name: str) -> None:
    served.apply(publisher(name))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    served.kubectl("annotate", "obpub", name, PAUSE)
    served.wait_condition("obpub", name, "Suspended", "True", "ReconciliationPaused")
    served.kubectl("delete", "obpub", name, "--timeout=20s")
    served.wait_gone("deployment", f"{name}-pub")
    wait_until("no pods", lambda: not served.list("pods", f"djangooutbox.io/publisher={name}"), seconds=60)
