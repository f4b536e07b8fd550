"""The CRDs as the chart installs them."""

from __future__ import annotations

from typing import Any

import yaml

from tests.chart.rendering import ROOT, of_kind, render

KEEP = {"helm.sh/resource-policy": "keep"}


def _sources() -> dict[str, dict[str, Any]]:
    crds = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    return {crd["metadata"]["name"]: crd for crd in crds}


def _rendered(values: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    return {crd["metadata"]["name"]: crd for crd in of_kind(render(values), "CustomResourceDefinition")}


def test_the_chart_installs_the_repositorys_crds() -> None:
    sources, rendered = _sources(), _rendered()
    assert set(rendered) == set(sources) == {"publishers.djangooutbox.io", "subscriptions.djangooutbox.io"}
    for name, source in sources.items():
        assert rendered[name]["spec"] == source["spec"]


def test_uninstalling_leaves_the_crds_unless_told_otherwise() -> None:
    assert all(crd["metadata"]["annotations"].items() >= KEEP.items() for crd in _rendered().values())
    dropped = _rendered({"crds": {"keep": False}})
    assert dropped
    assert all("helm.sh/resource-policy" not in crd["metadata"].get("annotations", {}) for crd in dropped.values())


def test_the_crds_can_be_left_out() -> None:
    assert _rendered({"crds": {"enabled": False}}) == {}
