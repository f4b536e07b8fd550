"""The alert rules at work: what fires, given series, as Prometheus itself decides it (``promtool test rules``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.chart import programs
from tests.chart.rendering import OBSERVED, one, render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Fired:
    """An alert that fires: its labels, the rule's own included, and the summary that people read."""

    labels: dict[str, str] = field(default_factory=dict)
    summary: str = ""


@dataclass
class Prometheus:
    """Rules of the chart, in a folder where promtool finds them."""

    folder: Path

    def check(self, values: Mapping[str, Any] | None = None) -> str:
        """Return what promtool complains about in the rules, empty when nothing."""
        path = self.folder / "rules.yaml"
        path.write_text(yaml.safe_dump({"groups": groups(values)}))
        done = programs.run(programs.promtool(), "check", "rules", "--lint=all", "--lint-fatal", path)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def difference(self, alert: str, series: dict[str, str], at: str, fired: list[Fired]) -> str:
        """Return what promtool says when ``alert`` does not fire like ``fired`` at time ``at``, empty when it does.

        ``series`` maps a series to its values, one a minute from time 0 on, in promtool's notation.
        """
        (self.folder / "rules.yaml").write_text(yaml.safe_dump({"groups": _with_summaries_only(groups())}))
        expected = [{"exp_labels": item.labels, "exp_annotations": {"summary": item.summary}} for item in fired]
        test = {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
        }
        path = self.folder / "test.yaml"
        path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]}))
        done = programs.run(programs.promtool(), "test", "rules", path)
        return "" if done.returncode == 0 else done.stdout + done.stderr


def groups(values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the groups of the rendered PrometheusRule."""
    found: list[dict[str, Any]] = one(render({**OBSERVED, **(values or {})}), "PrometheusRule")["spec"]["groups"]
    return found


def rules(values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the rendered alerts."""
    return [rule for group in groups(values) for rule in group["rules"]]


def _with_summaries_only(source: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop the other annotations: promtool compares all of them, and their wording is not what is tested."""
    return [
        {
            **group,
            "rules": [{**rule, "annotations": {"summary": rule["annotations"]["summary"]}} for rule in group["rules"]],
        }
        for group in source
    ]
