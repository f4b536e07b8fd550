"""The API server refuses, its watches break or fall silent: workers converge all the same, and a dead watch shows."""

from __future__ import annotations

import itertools
import urllib.error
from typing import TYPE_CHECKING

import pytest

from tests.cluster.manifests import publisher
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.predicates import exists, image, replicas
from tests.rig.api_proxy import ApiProxy, Asked
from tests.rig.waiting import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster.operator_process import Cluster

# Between two full looks: what is seen was delivered by the watches.
HOUR = "3600"


@pytest.fixture
def proxy(own: Cluster) -> Iterator[ApiProxy]:
    with ApiProxy(own.server) as found:
        yield found


def behind(proxy: ApiProxy, own: Cluster, folder: Path, **env: str) -> OperatorProcess:
    """An operator that reaches the API server by way of the proxy only."""
    kubeconfig = proxy.kubeconfig(own.namespace)
    return OperatorProcess(own, folder, own.namespace, kubeconfig=kubeconfig, leader_election="false", **env)


def writes(suffix: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.verb == "PATCH" and asked.path.endswith(suffix)


def test_too_many_requests_and_conflicts_are_tried_again_when_the_api_server_says(
    own: Cluster, proxy: ApiProxy, tmp_path: Path
) -> None:
    throttled = proxy.refuse(writes("/deployments/orders-pub"), 429, times=2, retry_after=2)
    conflicts = proxy.refuse(writes("/publishers/orders/status"), 409, times=2)
    with behind(proxy, own, tmp_path, resync_seconds=HOUR) as operator:
        own.apply(publisher("orders"))
        own.wait("deployment", "orders-pub", "exists", exists)
        own.wait_condition("obpub", "orders", "Progressing", "True", "RollingOut")
        assert operator.metric("outbox_operator_api_requests_total", verb="PATCH", code="429") == 2
        assert operator.metric("outbox_operator_api_requests_total", verb="PATCH", code="409") == 2
        assert operator.http("/healthz") == "ok"
    tries = [asked.at for asked in proxy.asked if throttled.concerns(asked)]
    assert [later - earlier >= 2 for earlier, later in itertools.pairwise(tries)][:2] == [True, True]
    assert len(conflicts.refused) == 2


def test_watches_that_are_dropped_are_taken_up_again(own: Cluster, proxy: ApiProxy, tmp_path: Path) -> None:
    with behind(proxy, own, tmp_path, resync_seconds=HOUR) as operator:
        own.apply(publisher("orders"))
        own.wait("deployment", "orders-pub", "exists", exists)
        for number in (2, 3):
            assert proxy.cut_watches() >= 3
            own.apply(publisher("orders", image=f"shop:{number}"), publisher(f"new-{number}"))
            own.kubectl("scale", "deployment", "orders-pub", "--replicas=9")
            own.wait("deployment", f"new-{number}-pub", "exists", exists)
            own.wait("deployment", "orders-pub", "its image", image(f"shop:{number}"))
        operator.assert_alive()
        assert operator.http("/healthz") == "ok"


def test_the_queue_of_other_resources_is_never_delayed_by_one_that_fails(
    own: Cluster, proxy: ApiProxy, tmp_path: Path
) -> None:
    failing = proxy.refuse(writes("/deployments/bad-pub"), 503)
    with behind(proxy, own, tmp_path, resync_seconds=HOUR, workers="1"):
        own.apply(publisher("bad"))
        wait_until("a failure", lambda: failing.refused, seconds=30)
        for number in range(3):
            own.apply(publisher(f"good-{number}"))
            own.wait("deployment", f"good-{number}-pub", "exists", exists)
        wait_until("more failures", lambda: len(failing.refused) > 2, seconds=30)
        own.patch("obpub", "good-0", {"spec": {"replicas": 2}})
        own.wait("deployment", "good-0-pub", "2 replicas", replicas(2))
        assert own.get("deployment", "bad-pub") is None


def test_healthz_fails_on_a_dead_watch_and_what_it_missed_is_healed(
    own: Cluster, proxy: ApiProxy, tmp_path: Path
) -> None:
    with behind(proxy, own, tmp_path) as operator:
        own.apply(publisher("seen"))
        own.wait("deployment", "seen-pub", "exists", exists)
        proxy.silence_watches()
        own.apply(publisher("unseen"))
        own.wait("deployment", "unseen-pub", "exists", exists)
        complaint = wait_until(
            "/healthz fails", lambda: complaint_of(operator), seconds=90, state=lambda: tail(operator.log)
        )
        assert "the watch of" in complaint
        assert "publishers" in complaint
        assert operator.metric("outbox_operator_missed_events_total", resource="publishers") >= 1


def complaint_of(operator: OperatorProcess) -> str | None:
    """What /healthz complains of, None while it does not."""
    try:
        operator.http("/healthz")
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    return None
