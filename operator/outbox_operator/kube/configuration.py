"""How to reach the API server."""

from __future__ import annotations

import os
from urllib.request import getproxies

from kubernetes.aio import config as kube_config
from kubernetes.aio.client.configuration import Configuration

from outbox_operator.errors import KubeError


async def load_configuration() -> Configuration:
    """Return how to reach the API server: the pod's ServiceAccount, else the kubeconfig.

    Raises:
        KubeError: neither is there.
    """
    configuration = Configuration()
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            kube_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await kube_config.load_kube_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration, persist_config=False
            )
    except (kube_config.ConfigException, OSError) as error:
        raise KubeError(f"no way to the API server: {error}. Run in a pod, or set KUBECONFIG") from error
    # To respect proxies of the environment, aiohttp reads ~/.netrc anew for each request, in another thread.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    return configuration
