"""The dashboard: laid out without overlaps, explained, and asking only for what workers and operator export."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from tests.chart import programs
from tests.chart.exported import exported_series
from tests.chart.rendering import CHART, OBSERVED, one, render
from tools.dashboards.queries import Expression, expressions

EXPRESSIONS = pytest.mark.parametrize("source", ["panel", "variable", "alert"])


def _board() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((CHART / "dashboards" / "outbox.json").read_text())
    return board


def _all() -> list[Expression]:
    return expressions(render(OBSERVED))


def test_no_two_panels_overlap_and_none_leaves_the_grid() -> None:
    places = [panel["gridPos"] for panel in _board()["panels"]]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one_place, other in combinations(places, 2):
        beside = one_place["x"] + one_place["w"] <= other["x"] or other["x"] + other["w"] <= one_place["x"]
        above = one_place["y"] + one_place["h"] <= other["y"] or other["y"] + other["h"] <= one_place["y"]
        assert beside or above, (one_place, other)


def test_the_panels_fill_the_grid_without_gaps() -> None:
    places = [panel["gridPos"] for panel in _board()["panels"]]
    bottom = max(place["y"] + place["h"] for place in places)
    assert sum(place["w"] * place["h"] for place in places) == 24 * bottom


def test_panels_have_ids_and_titles_of_their_own_and_say_how_to_read_them() -> None:
    panels = _board()["panels"]
    for field in ("id", "title"):
        assert len({panel[field] for panel in panels}) == len(panels)
    assert all(panel["description"] for panel in panels if panel["type"] != "row")


def test_the_reader_selects_source_namespace_publisher_and_subscription() -> None:
    names = [variable["name"] for variable in _board()["templating"]["list"]]
    assert names == ["datasource", "namespace", "publisher", "subscription"]


def test_every_target_asks_the_selected_source() -> None:
    for panel in _board()["panels"]:
        for part in (panel, *panel.get("targets", [])) if panel["type"] != "row" else ():
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_chart_delivers_the_dashboard_to_grafanas_sidecar() -> None:
    config = one(render(OBSERVED), "ConfigMap")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["outbox.json"]) == _board()


@EXPRESSIONS
def test_every_metric_asked_for_is_exported(source: str) -> None:
    asked = {name for expression in _all() if expression.source == source for name in expression.metrics}
    assert asked
    assert asked - exported_series() == set()


@EXPRESSIONS
def test_every_query_is_one_that_prometheus_parses(source: str, tmp_path: Any) -> None:
    queries = [expression for expression in _all() if expression.source == source]
    records = [
        {"record": "x", "expr": query, "labels": {"n": str(n)}}
        for n, query in enumerate(
            query
            for expression in queries
            for query in (expression.signal, *([expression.expr] if source != "variable" else []))
        )
    ]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": [{"name": "all", "rules": records}]}))
    done = programs.run(programs.promtool(), "check", "rules", "--lint=none", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alerts_signal_is_what_it_compares() -> None:
    signals = {expression.name: expression for expression in _all() if expression.source == "alert"}
    assert (
        signals["OutboxMessagesFailed"].signal == "max by (namespace, publisher, destination) (outbox_failed_messages)"
    )
    assert signals["OutboxOperatorDown"].signal == 'outbox_operator_build_info{namespace="outbox-system"}'
    for expression in signals.values():
        assert expression.signal != expression.expr
