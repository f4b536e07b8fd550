"""The chart as Helm renders it: objects for given values, or Helm's words when it refuses them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.chart import programs
from tests.rig.binaries import kubernetes_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Manifest = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "outbox-operator"
NAMESPACE = "outbox-system"
# The one value that has no default.
IMAGE = {"image": {"repository": "registry.example.com/outbox-operator"}}
OBSERVED = {name: {"enabled": True} for name in ("podMonitor", "prometheusRule", "dashboards")}


def render(values: Mapping[str, Any] | None = None, chart: Path = CHART, release: str = "outbox") -> list[Manifest]:
    """Return the objects that an installation with these values would have; AssertionError when Helm refuses them."""
    code, output, error = _template(json.dumps({**IMAGE, **(values or {})}), chart, release)
    assert code == 0, error
    return [manifest for manifest in yaml.safe_load_all(output) if manifest]


def refusal(values: Mapping[str, Any], chart: Path = CHART) -> str:
    """Return what Helm says when it refuses these values; AssertionError when it takes them."""
    code, output, error = _template(json.dumps(values), chart, "outbox")
    assert code != 0, f"Helm took {values} and rendered:\n{output[:2000]}"
    return error


def of_kind(manifests: Iterable[Manifest], *kinds: str) -> list[Manifest]:
    """Return the objects of these kinds, in their order."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def one(manifests: Iterable[Manifest], kind: str) -> Manifest:
    """Return the only object of a kind."""
    found = of_kind(manifests, kind)
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]


@cache
def _template(values: str, chart: Path, release: str) -> tuple[int, str, str]:
    command: list[str | Path] = [programs.helm(), "template", release, chart, "--namespace", NAMESPACE, "--values", "-"]
    done = programs.run(*command, "--kube-version", kubernetes_version(), text=values)
    return done.returncode, done.stdout, done.stderr
