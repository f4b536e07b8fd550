"""The pod template of a worker: defaults, then the followed workload, then the resource's fields, then its template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox_operator.build.copies import copied
from outbox_operator.build.followed import NOTHING, Followed
from outbox_operator.build.gates import with_gates
from outbox_operator.build.labels import object_labels
from outbox_operator.build.merge import merge, merge_env, merge_named
from outbox_operator.build.names import CONTAINER, METRICS_PORT_NAME, TMP_VOLUME
from outbox_operator.build.spreading import alone, spread_constraints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Resource

SETTINGS_VARIABLE = "DJANGO_SETTINGS_MODULE"


def pod_template(resource: Resource, followed: Followed) -> dict[str, Any]:
    """Build the pod template of a resource's workers, without the marks of its configuration's content."""
    template = {
        "metadata": {"labels": object_labels(resource.key)},
        "spec": _pod_spec(resource, followed),
    }
    merged = merge(template, resource.worker.template)
    # The Deployment selects by these labels; a template that changes them would let pods slip away.
    merged["metadata"]["labels"] = {**merged["metadata"].get("labels", {}), **object_labels(resource.key)}
    if resource.ordered:
        merged["spec"] = alone(resource, merged["spec"])
    worker = worker_container(merged)
    if worker is not None:
        merged["spec"] = with_gates(resource, merged["spec"], worker)
    return merged


def worker_container(template: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the container `worker` of a pod template; every template that we build has one."""
    containers: list[Mapping[str, Any]] = template["spec"]["containers"]
    return next((item for item in containers if item["name"] == CONTAINER), None)


def _pod_spec(resource: Resource, followed: Followed) -> dict[str, Any]:
    worker, inherited = resource.worker, copied(dict(followed.pod))
    service_account = worker.service_account_name or inherited.get("serviceAccountName")
    own_secrets = [{"name": name} for name in worker.image_pull_secrets]
    spec: dict[str, Any] = {
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **inherited.get("securityContext", {}),
        },
        "terminationGracePeriodSeconds": worker.termination_grace_period_seconds,
        "containers": [_container(resource, followed)],
    }
    if followed is NOTHING or "enableServiceLinks" in inherited:
        # A Service named after the broker would otherwise inject variables such as RABBITMQ_PORT=tcp://...
        spec["enableServiceLinks"] = inherited.get("enableServiceLinks", False)
    secrets = merge_named(inherited.get("imagePullSecrets", []), own_secrets, "name")
    if secrets:
        spec["imagePullSecrets"] = secrets
    if service_account:
        spec["serviceAccountName"] = service_account
        if "automountServiceAccountToken" in inherited and not worker.service_account_name:
            spec["automountServiceAccountToken"] = inherited["automountServiceAccountToken"]
    else:
        spec["automountServiceAccountToken"] = False
    spread = spread_constraints(resource)
    if spread:
        spec["topologySpreadConstraints"] = spread
    volumes = [*inherited.get("volumes", []), *_own_volumes(followed)]
    if volumes:
        spec["volumes"] = volumes
    return spec


def _container(resource: Resource, followed: Followed) -> dict[str, Any]:
    worker, inherited = resource.worker, copied(dict(followed.container))
    container: dict[str, Any] = {
        "name": CONTAINER,
        "command": list(worker.command),
        "args": [*resource.arguments, *worker.extra_args],
        "env": _environment(resource, inherited.get("env", [])),
        "ports": [{"name": METRICS_PORT_NAME, "containerPort": worker.metrics_port, "protocol": "TCP"}],
        **_probes(),
        "securityContext": _container_security(inherited.get("securityContext", {})),
        # When a worker dies without a message, the end of its log is what explains it in the status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*inherited.get("volumeMounts", []), *_own_mounts(followed)],
    }
    optional = {
        "image": worker.image or inherited.get("image"),
        "imagePullPolicy": worker.image_pull_policy or inherited.get("imagePullPolicy"),
        "envFrom": [*inherited.get("envFrom", []), *copied(list(worker.env_from))],
        "resources": copied(dict(worker.resources)) if worker.resources else None,
        "workingDir": inherited.get("workingDir"),
    }
    return {**container, **{name: value for name, value in optional.items() if value}}


def _environment(resource: Resource, inherited: list[dict[str, Any]]) -> list[dict[str, Any]]:
    env = merge_env([{"name": "PYTHONUNBUFFERED", "value": "1"}], inherited)
    if resource.worker.settings_module:
        env = merge_env(env, [{"name": SETTINGS_VARIABLE, "value": resource.worker.settings_module}])
    return merge_env(env, resource.worker.env)


def _container_security(inherited: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        **inherited,
    }


def _probes() -> dict[str, Any]:
    """Return the probes. A slow start (imports, a cold database) has 120 s before liveness counts."""
    return {
        "startupProbe": _probe("/livez", period=2, failures=60),
        "livenessProbe": _probe("/livez", period=10, failures=3),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": METRICS_PORT_NAME},
        "timeoutSeconds": 5,
        "periodSeconds": period,
        "failureThreshold": failures,
    }


def _own_volumes(followed: Followed) -> list[dict[str, Any]]:
    return [{"name": TMP_VOLUME, "emptyDir": {}}] if _own_mounts(followed) else []


def _own_mounts(followed: Followed) -> list[dict[str, Any]]:
    mounts = followed.container.get("volumeMounts", ())
    if any(mount["mountPath"].rstrip("/") == "/tmp" for mount in mounts):  # noqa: S108 - a path in the pod
        return []
    return [{"name": TMP_VOLUME, "mountPath": "/tmp"}]  # noqa: S108
