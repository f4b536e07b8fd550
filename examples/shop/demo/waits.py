"""Waits of the demo and its tests: each has a deadline and, when it passes, shows what a person would look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from examples.shop.demo import evidence
from tests.rig.waiting import RigError, RigTimeoutError, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.shop.demo.cluster import Cluster

T = TypeVar("T")


def wait_for(cluster: Cluster, what: str, condition: Callable[[], T | None], seconds: float = 120) -> T:
    """Return what `condition` returns once that is true; raise RigTimeoutError with the evidence after `seconds`.

    A kubectl that fails means "not yet": pods restart under the tests' hands, and an API server may be busy.
    """
    failures: list[str] = []

    def attempt() -> T | None:
        try:
            return condition()
        except RigTimeoutError:
            raise
        except RigError as error:
            failures[:] = [f"last failure: {error}"]
            return None

    return wait_until(
        what, attempt, seconds=seconds, every=0.5, state=lambda: "\n".join([*failures, evidence.collect(cluster)])
    )


def wait_ready(cluster: Cluster, kind: str, name: str, seconds: float = 180) -> dict[str, Any]:
    """Wait until a Publisher or Subscription is Ready; return the condition."""
    return wait_condition(cluster, kind, name, lambda ready: ready["status"] == "True", seconds)


def wait_condition(
    cluster: Cluster, kind: str, name: str, wanted: Callable[[dict[str, Any]], bool], seconds: float = 180
) -> dict[str, Any]:
    """Wait until the Ready condition of a resource is as wanted; return it."""

    def observed() -> dict[str, Any] | None:
        ready = cluster.condition(kind, name)
        return ready if ready is not None and wanted(ready) else None

    return wait_for(cluster, f"the Ready condition of {kind} {name} as wanted", observed, seconds)
