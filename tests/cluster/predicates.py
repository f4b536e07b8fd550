"""What tests wait for an object to be."""

from __future__ import annotations

from typing import Any


def exists(_: dict[str, Any]) -> bool:
    return True


def replicas(number: int) -> Any:
    return lambda deployment: deployment["spec"]["replicas"] == number


def image(name: str) -> Any:
    return lambda deployment: container(deployment)["image"] == name


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def wants(number: int) -> Any:
    """So many workers according to the status, which comes after the Deployment."""
    return lambda resource: resource.get("status", {}).get("desiredReplicas") == number
