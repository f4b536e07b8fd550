"""Rolling out is safe: what cannot work does not replace what works, and order is never at risk."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from examples.shop.demo import traffic
from examples.shop.demo.cluster import SHOP, Cluster
from examples.shop.demo.waits import wait_condition, wait_for, wait_ready
from tests.e2e.actions import (
    assert_each_billed_once,
    orders_being_placed,
    wait_for_progress,
    wait_until_billed,
)
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Long enough for a worker that does not wait for its predecessor to be seen beside it.
STOPPING_SECONDS = 10
SLOW_TO_STOP = {
    "spec": {"containers": [{"name": "worker", "lifecycle": {"preStop": {"sleep": {"seconds": STOPPING_SECONDS}}}}]}
}
RECORDER = (
    "from django.db import connection; from django.db.migrations.recorder import MigrationRecorder as R; "
    "R(connection).record_{verb}('billing', '0001_initial')"
)


def apply(shop: Cluster, name: str, **spec: Any) -> None:
    """Apply a Subscription of the billing service with a queue of its own."""
    base = {
        "image": "localhost/shop:dev",
        "settingsModule": "billing.settings",
        "envFrom": [{"configMapRef": {"name": "broker"}}, {"secretRef": {"name": "billing-env"}}],
        "callback": "billing.callbacks.bill_order",
        "destination": f"/topic/order.{name}",
        "queue": name,
    }
    manifest = {
        "apiVersion": "djangooutbox.io/v1alpha1",
        "kind": "Subscription",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": base | spec,
    }
    shop.apply(json.dumps(manifest))


def runs(pod: dict[str, Any]) -> bool:
    """Whether a pod's worker runs, or is being stopped."""
    statuses = pod["status"].get("containerStatuses", [])
    return any("running" in status["state"] for status in statuses if status["name"] == "worker")


class Watcher:
    """Notes, again and again, which workers of a Subscription run at the same time and what Ready says."""

    def __init__(self, shop: Cluster, name: str) -> None:
        self._shop, self._name = shop, name
        self._stop = threading.Event()
        self.together: set[frozenset[str]] = set()
        self.reasons: set[str] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def seen(self) -> set[str]:
        """Return all workers that ran at any time."""
        return {pod for pods in self.together for pod in pods}

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            try:
                self._look()
            except RigError:
                continue

    def _look(self) -> None:
        pods = self._shop.objects("pods", f"djangooutbox.io/subscription={self._name}")
        self.together.add(frozenset(pod["metadata"]["name"] for pod in pods if runs(pod)))
        ready = self._shop.condition("subscription", self._name)
        self.reasons |= {ready["reason"]} if ready else set()


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod says that it is ready; one that no kubelet has seen yet has no conditions at all."""
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def wait_for_another(shop: Cluster, name: str, than: set[str]) -> str:
    """Wait until a worker that is none of these is ready, and return its name."""

    def another() -> str | None:
        for pod in shop.worker_pods("subscription", name):
            if is_ready(pod) and pod["metadata"]["name"] not in than:
                return str(pod["metadata"]["name"])
        return None

    return wait_for(shop, f"a worker other than {', '.join(than) or 'none'}", another, seconds=180)


def test_a_failed_preflight_leaves_the_old_workers_and_says_what_python_said(shop: Cluster) -> None:
    name = "e2e-preflight"
    apply(shop, name)
    wait_ready(shop, "subscription", name)
    old = wait_for_another(shop, name, set())
    apply(shop, name, callback="billing.callbacks.bill_oder")
    ready = wait_condition(shop, "subscription", name, lambda found: found["reason"] == "PreflightFailed", seconds=180)
    assert "Module 'billing.callbacks' has no attribute 'bill_oder'. Did you mean" in ready["message"]
    assert "1 worker that was started before goes on" in ready["message"]
    assert [pod["metadata"]["name"] for pod in shop.worker_pods("subscription", name) if runs(pod)] == [old]
    apply(shop, name)
    wait_ready(shop, "subscription", name)
    assert wait_for_another(shop, name, set()) == old


def test_an_ordered_subscription_never_runs_two_workers_whatever_replaces_them(shop: Cluster) -> None:
    name = "e2e-ordered"
    apply(shop, name, ordering="Ordered", template=SLOW_TO_STOP)
    pods = {wait_for_another(shop, name, set())}
    watcher = Watcher(shop, name)
    with watcher.watching():
        shop.kubectl("delete", "pod", *pods, "-n", SHOP, "--wait=false")
        pods.add(wait_for_another(shop, name, pods))
        shop.kubectl("rollout", "restart", f"deployment/{name}-sub", "-n", SHOP)
        pods.add(wait_for_another(shop, name, pods))
        apply(shop, name, ordering="Ordered", template=SLOW_TO_STOP, extraArgs=["--verbosity=2"])
        pods.add(wait_for_another(shop, name, pods))
    assert watcher.seen() == pods
    assert len(pods) == 4
    assert [sorted(together) for together in watcher.together if len(together) > 1] == []
    assert "PreviousWorkerStopping" in watcher.reasons


def test_workers_that_are_told_to_stop_finish_their_work_within_the_grace_period(shop: Cluster) -> None:
    with orders_being_placed(shop, 200, per_second=25) as after:
        wait_for_progress(shop, after, 30)
        for kind, name in (("publisher", traffic.PUBLISHER), ("subscription", traffic.SUBSCRIPTION)):
            (pod,) = shop.worker_pods(kind, name)
            # kubectl gives up before the kubelet would kill.
            patience = f"--timeout={pod['spec']['terminationGracePeriodSeconds'] - 5}s"
            shop.kubectl("delete", "pod", pod["metadata"]["name"], "-n", SHOP, patience)
    assert_each_billed_once(wait_until_billed(shop, after, 200, seconds=420), 200)


def test_workers_wait_for_migrations_and_name_those_that_are_missing(shop: Cluster) -> None:
    name = "e2e-migrations"
    record(shop, "unapplied")
    try:
        apply(shop, name, migrations={"policy": "Wait"})
        ready = wait_condition(
            shop, "subscription", name, lambda found: found["reason"] == "MigrationsPending", seconds=180
        )
        assert "Not applied: billing.0001_initial." in ready["message"]
    finally:
        record(shop, "applied")
    wait_ready(shop, "subscription", name)
    log = shop.kubectl("logs", f"deployment/{name}-sub", "-n", SHOP, "-c", "await-migrations")
    assert log.splitlines() == ["Not applied: billing.0001_initial.", "All migrations are applied."]


def record(shop: Cluster, verb: str) -> None:
    """Have billing's database forget or remember its first migration, whose tables stay."""
    worker = f"deployment/{traffic.SUBSCRIPTION}-sub"
    code = RECORDER.format(verb=verb)
    shop.kubectl("exec", worker, "-n", SHOP, "-c", "worker", "--", "python", "manage.py", "shell", "-c", code)
