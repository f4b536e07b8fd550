"""Turn the chart's PodMonitors and rules into what a plain Prometheus reads, as the Prometheus Operator would.

The end-to-end tier scrapes with it, so that the chart's own selectors and relabelings are what is tested. Debian's
Prometheus is built without the discovery of Kubernetes, hence pods come from a file, with the labels that it
would give them. Only as much of a PodMonitor as the chart uses is known here; anything else is an error rather than
silently left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

Manifest = Mapping[str, Any]

_META = "__meta_kubernetes_"
_MONITOR_FIELDS = frozenset(("jobLabel", "namespaceSelector", "selector", "podMetricsEndpoints"))
_ENDPOINT_FIELDS = frozenset(
    ("port", "path", "honorLabels", "interval", "scrapeTimeout", "relabelings", "metricRelabelings")
)


def configuration(
    manifests: Iterable[Manifest], targets_file: Path, interval: str = "15s", rule_files: Iterable[Path] = ()
) -> str:
    """Return a Prometheus configuration that scrapes what the PodMonitors among the objects select.

    Write what ``targets`` returns to ``targets_file``, again whenever pods come or go; Prometheus notices.
    """
    monitors = [manifest for manifest in manifests if manifest["kind"] == "PodMonitor"]
    config = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rule_files],
        "scrape_configs": [job for monitor in monitors for job in scrape_configs(monitor, targets_file)],
    }
    return yaml.safe_dump(config, sort_keys=False)


def rules(manifests: Iterable[Manifest]) -> str:
    """Return a rule file with the groups of every PrometheusRule among the objects."""
    groups = [group for item in manifests if item["kind"] == "PrometheusRule" for group in item["spec"]["groups"]]
    return yaml.safe_dump({"groups": groups}, sort_keys=False)


def targets(pods: Iterable[Manifest]) -> str:
    """Return the targets file for these pods (the ``items`` of a PodList): one target for each declared port."""
    return json.dumps([target for pod in pods for target in _targets(pod)], indent=2)


def scrape_configs(monitor: Manifest, targets_file: Path) -> list[dict[str, Any]]:
    """Return one job for each endpoint of a PodMonitor; ValueError for a field that is not known here."""
    spec, name = monitor["spec"], f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}"
    _refuse_unknown(spec, _MONITOR_FIELDS, name)
    jobs = []
    for index, endpoint in enumerate(spec["podMetricsEndpoints"]):
        _refuse_unknown(endpoint, _ENDPOINT_FIELDS, name)
        job: dict[str, Any] = {
            "job_name": f"podMonitor/{name}/{index}",
            "honor_labels": endpoint.get("honorLabels", False),
            "metrics_path": endpoint.get("path", "/metrics"),
            "file_sd_configs": [{"files": [str(targets_file)], "refresh_interval": "5s"}],
            "relabel_configs": _relabelings(monitor, endpoint, name),
            "metric_relabel_configs": [_snake(rule) for rule in endpoint.get("metricRelabelings", [])],
        }
        for ours, theirs in (("interval", "scrape_interval"), ("scrapeTimeout", "scrape_timeout")):
            if ours in endpoint:
                job[theirs] = endpoint[ours]
        jobs.append(job)
    return jobs


def _targets(pod: Manifest) -> Iterator[dict[str, Any]]:
    address = pod.get("status", {}).get("podIP")
    if not address:
        return
    labels = {
        f"{_META}namespace": pod["metadata"]["namespace"],
        f"{_META}pod_name": pod["metadata"]["name"],
        f"{_META}pod_phase": pod["status"].get("phase", "Unknown"),
    }
    labels |= {_meta_label(name): value for name, value in pod["metadata"].get("labels", {}).items()}
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", []):
            own = {
                f"{_META}pod_container_name": container["name"],
                f"{_META}pod_container_port_name": port.get("name", ""),
            }
            yield {"targets": [f"{address}:{port['containerPort']}"], "labels": labels | own}


def _relabelings(monitor: Manifest, endpoint: Manifest, name: str) -> list[dict[str, Any]]:
    spec = monitor["spec"]
    steps = [{"action": "drop", "source_labels": [f"{_META}pod_phase"], "regex": "(Failed|Succeeded)"}]
    namespaces = spec.get("namespaceSelector", {})
    if not namespaces.get("any"):
        names = namespaces.get("matchNames") or [monitor["metadata"]["namespace"]]
        steps.append({"action": "keep", "source_labels": [f"{_META}namespace"], "regex": "|".join(names)})
    for label, value in spec["selector"]["matchLabels"].items():
        steps.append({"action": "keep", "source_labels": [_meta_label(label)], "regex": re.escape(value)})
    steps.append({"action": "keep", "source_labels": [f"{_META}pod_container_port_name"], "regex": endpoint["port"]})
    for source, target in (("namespace", "namespace"), ("pod_container_name", "container"), ("pod_name", "pod")):
        steps.append({"source_labels": [_META + source], "target_label": target})
    steps.append({"target_label": "job", "replacement": name})
    if "jobLabel" in spec:
        steps.append({"source_labels": [_meta_label(spec["jobLabel"])], "regex": "(.+)", "target_label": "job"})
    return steps + [_snake(rule) for rule in endpoint.get("relabelings", [])]


def _meta_label(label: str) -> str:
    return f"{_META}pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", label)


def _snake(rule: Manifest) -> dict[str, Any]:
    return {re.sub(r"[A-Z]", lambda upper: "_" + upper[0].lower(), key): value for key, value in rule.items()}


def _refuse_unknown(fields: Manifest, known: frozenset[str], name: str) -> None:
    if unknown := set(fields) - known:
        raise ValueError(f"PodMonitor {name} has fields that tools/dashboards/scrape.py does not know: {unknown}")
