"""Those who use the cluster while it breaks: they ask again until the API server has answered."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from tests.rig import RigError

if TYPE_CHECKING:
    import ssl

NAMESPACE: Final = "shop"
PATIENCE_SECONDS: Final = 120.0
_PATHS: Final = {
    "Publisher": f"/apis/djangooutbox.io/v1alpha1/namespaces/{NAMESPACE}/publishers",
    "Subscription": f"/apis/djangooutbox.io/v1alpha1/namespaces/{NAMESPACE}/subscriptions",
    "Deployment": f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
    "ReplicaSet": f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets",
    "PodDisruptionBudget": f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets",
    "Secret": f"/api/v1/namespaces/{NAMESPACE}/secrets",
    "ConfigMap": f"/api/v1/namespaces/{NAMESPACE}/configmaps",
    "Pod": f"/api/v1/namespaces/{NAMESPACE}/pods",
    "Namespace": "/api/v1/namespaces",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "FlowSchema": "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
    "PriorityLevelConfiguration": "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
}


class People:
    """Speaks with the API server itself, not by way of the proxy, as a user who may do everything."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        self._url = url
        self._context = context

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, None when it does not exist."""
        return self._ask("GET", f"{_PATHS[kind]}/{name}")

    def list(self, kind: str) -> list[dict[str, Any]]:
        """Return all objects of a kind."""
        answer = self._ask("GET", _PATHS[kind]) or {}
        # The items of a list do not say what they are; the objects that it is compared with do.
        named = {"apiVersion": answer["apiVersion"], "kind": kind}
        return [{**named, **item} for item in answer["items"]]

    def create(self, obj: dict[str, Any]) -> None:
        """Create an object; one that is there already is what was wanted."""
        self._ask("POST", _PATHS[obj["kind"]], obj)

    def patch(self, kind: str, name: str, patch: dict[str, Any], subresource: str = "") -> bool:
        """Merge a patch into an object; tell whether there is one."""
        return self._ask("PATCH", f"{_PATHS[kind]}/{name}{subresource}", patch) is not None

    def delete(self, kind: str, name: str, propagation: str = "Background") -> bool:
        """Delete an object; tell whether there was one."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        return self._ask("DELETE", f"{_PATHS[kind]}/{name}", options) is not None

    def _ask(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Return the answer, None when there is no such object or it is there already."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._once(verb, path, body)
            except urllib.error.HTTPError as error:
                said = error.read().decode()
                if error.code == 404 or (error.code == 409 and verb == "POST"):
                    return None
                # 403 and 404 for a kind are also answers of a server that has just been started.
                if error.code in (400, 422) or time.monotonic() > deadline:
                    raise RigError(f"{verb} {path}: {error.code} {said}") from error
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise RigError(f"{verb} {path}: no answer for {PATIENCE_SECONDS:.0f} s: {error!r}") from error
            time.sleep(0.2)

    def _once(self, verb: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        request = urllib.request.Request(
            self._url + path,
            method=verb,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": kind},
        )
        with urllib.request.urlopen(request, timeout=10, context=self._context) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
