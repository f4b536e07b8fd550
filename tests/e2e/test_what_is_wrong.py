"""A resource whose workers cannot start says what is wrong and what to do, in its conditions and in Events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from examples.shop.demo.cluster import SHOP
from examples.shop.demo.waits import wait_condition, wait_for

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster


@dataclass(frozen=True)
class Fault:
    """A way to get a Subscription wrong, and what must be said about it."""

    name: str
    spec: dict[str, Any]
    reason: str
    words: tuple[str, ...] = field(default=())


FAULTS = [
    Fault(
        "image-absent",
        {"image": "localhost/shop:no-such-tag"},
        "ImagePullFailed",
        ("localhost/shop:no-such-tag",),
    ),
    Fault(
        "callback-absent",
        {"callback": "billing.callbacks.no_such_function"},
        "PreflightFailed",
        ("billing.callbacks", "no_such_function"),
    ),
    Fault(
        "callback-unchecked",
        {"callback": "billing.callbacks.no_such_function", "preflight": {"policy": "Disabled"}},
        "CallbackNotImportable",
        ("billing.callbacks", "no_such_function"),
    ),
    Fault(
        "secret-absent",
        {"envFrom": [{"configMapRef": {"name": "broker"}}, {"secretRef": {"name": "no-such-secret"}}]},
        "SecretNotFound",
        ("no-such-secret",),
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_subscription_that_cannot_work_says_why_in_conditions_and_events(shop: Cluster, fault: Fault) -> None:
    shop.apply(json.dumps(subscription(fault)))
    ready = wait_condition(shop, "subscription", fault.name, lambda found: found["reason"] == fault.reason, seconds=120)
    assert ready["status"] == "False"
    assert [word for word in fault.words if word not in ready["message"]] == []
    described = wait_for(shop, "an Event about it", lambda: description_with_event(shop, fault), seconds=30)
    conditions, events = described.split("\nEvents:", 1)
    for part in (conditions, events):
        assert [word for word in (fault.reason, *fault.words) if word not in part] == []
    shop.kubectl("delete", "subscriptions.djangooutbox.io", fault.name, "-n", SHOP, "--timeout=30s")


def test_a_secret_that_appears_later_is_noticed_and_the_workers_start(shop: Cluster) -> None:
    fault = FAULTS[-1]
    shop.apply(json.dumps(subscription(fault)))
    wait_condition(shop, "subscription", fault.name, lambda found: found["reason"] == fault.reason)
    secret = shop.get("secret", "billing-env")
    assert secret is not None
    copy = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "no-such-secret", "namespace": SHOP}}
    shop.apply(json.dumps(copy | {"data": secret["data"]}))
    try:
        wait_condition(shop, "subscription", fault.name, lambda found: found["status"] == "True")
    finally:
        shop.kubectl("delete", "secret", "no-such-secret", "-n", SHOP)
        shop.kubectl("delete", "subscriptions.djangooutbox.io", fault.name, "-n", SHOP, "--timeout=30s")


def subscription(fault: Fault) -> dict[str, Any]:
    """Return a Subscription with a fault and a queue of its own."""
    spec = {
        "image": "localhost/shop:dev",
        "settingsModule": "billing.settings",
        "envFrom": [{"configMapRef": {"name": "broker"}}, {"secretRef": {"name": "billing-env"}}],
        "callback": "billing.callbacks.bill_order",
        "destination": "/topic/order.e2e-faults",
        "queue": f"e2e-{fault.name}",
    }
    return {
        "apiVersion": "djangooutbox.io/v1alpha1",
        "kind": "Subscription",
        "metadata": {"name": fault.name, "namespace": SHOP},
        "spec": spec | fault.spec,
    }


def description_with_event(shop: Cluster, fault: Fault) -> str | None:
    """Return what `kubectl describe` says once it shows an Event with the fault's reason."""
    described = shop.kubectl("describe", "subscriptions.djangooutbox.io", fault.name, "-n", SHOP)
    return described if fault.reason in described.partition("\nEvents:")[2] else None
