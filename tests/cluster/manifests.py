"""Manifests as users write them."""

from __future__ import annotations

from typing import Any


def publisher(name: str, **spec: Any) -> dict[str, Any]:
    return _resource("Publisher", name, spec if "workloadRef" in spec else {"image": "shop:1", **spec})


def subscription(name: str, **spec: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "image": "shop:1",
        "callback": "billing.callbacks.paid",
        "destination": "/exchange/orders/paid",
        "queue": "billing",
    }
    return _resource("Subscription", name, {**defaults, **spec})


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "djangooutbox.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {field: value for field, value in spec.items() if value is not None},
    }


def web(name: str, image: str = "shop:1", **container: Any) -> dict[str, Any]:
    """A Deployment of the application."""
    labels = {"app": name}
    containers = [{"name": "web", "image": image, **container}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def secret(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
