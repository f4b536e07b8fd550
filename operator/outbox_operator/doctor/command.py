"""Run all checks and print what they found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kubernetes.aio.client.api_client import ApiClient

from outbox_operator.doctor.cluster import (
    check_crds,
    check_lease,
    check_others,
    check_server,
    served_groups,
    server_time,
)
from outbox_operator.doctor.findings import Finding, as_json, as_table, exit_code
from outbox_operator.doctor.rights import check_rights
from outbox_operator.errors import KubeError
from outbox_operator.kube import Api, load_configuration
from outbox_operator.metrics import operator_version

if TYPE_CHECKING:
    from outbox_operator.settings import Settings


async def run_doctor(settings: Settings, *, json_output: bool = False) -> int:
    """Examine the cluster with the settings of the operator; return 0 when it can do its work, else 1."""
    findings = await _examine(settings)
    text = as_json(operator_version(), findings) if json_output else as_table(findings)
    sys.stdout.write(f"{text}\n")
    return exit_code(findings)


async def _examine(settings: Settings) -> list[Finding]:
    try:
        configuration = await load_configuration()
    except KubeError as error:
        return [Finding("API server", "failure", str(error), "Run it in a pod, or with a kubeconfig.")]
    api = Api(ApiClient(configuration))
    try:
        return await examine(api, settings)
    except KubeError as error:
        advice = "Check the address, the network (NetworkPolicies, proxies) and the credentials."
        return [Finding("API server", "failure", str(error), advice)]
    finally:
        await api.close()


async def examine(api: Api, settings: Settings) -> list[Finding]:
    """Return all findings.

    Raises:
        KubeError: the API server gives no answer.
    """
    version = await api.ask("GET", "/version")
    groups = await served_groups(api)
    return [
        *check_server(version),
        *await check_rights(api, settings, groups),
        *await check_crds(api),
        *check_others(groups),
        await check_lease(api, settings, server_time(version)),
    ]
