"""The alert rules as objects: valid, tunable, and each with something to do for whoever it wakes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.chart.alerting import Prometheus, groups, rules
from tests.chart.rendering import CHART, OBSERVED, ROOT, one, render

if TYPE_CHECKING:
    from pathlib import Path


def _runbook_sections() -> list[str]:
    return re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)


def _values_of_alerts() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load((CHART / "values.yaml").read_text())["prometheusRule"][
        "alerts"
    ]
    return found


def test_promtool_has_nothing_to_complain_about(tmp_path: Path) -> None:
    assert Prometheus(tmp_path).check({"prometheusRule": {"enabled": True, "runbookUrl": "https://e.com/r"}}) == ""


def test_no_placeholder_is_left_in_a_rule() -> None:
    assert "${" not in yaml.safe_dump(groups())


def test_each_alert_has_its_values_and_each_value_its_alert() -> None:
    sources = [
        alert
        for group in yaml.safe_load((CHART / "rules/alerts.yaml").read_text())["groups"]
        for alert in group["alerts"]
    ]
    keys = [alert.get("key", alert["alert"]) for alert in sources]
    assert sorted(keys) == sorted(_values_of_alerts())
    for key, alert in zip(keys, sources, strict=True):
        assert ("${threshold}" in alert["expr"]) == ("threshold" in _values_of_alerts()[key]), key


def test_each_alert_tells_people_what_happened_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["for"]
        assert len(rule["annotations"]["summary"]) > 20
        assert len(rule["annotations"]["description"]) > 100


def test_each_alert_has_a_section_in_the_runbooks_and_each_section_an_alert() -> None:
    assert sorted(_runbook_sections()) == sorted({rule["alert"] for rule in rules()})


def test_the_runbook_link_leads_to_the_alerts_section() -> None:
    linked = rules({"prometheusRule": {"enabled": True, "runbookUrl": "https://docs.example.com/runbooks"}})
    anchors = {f"https://docs.example.com/runbooks#{section.lower()}" for section in _runbook_sections()}
    assert {rule["annotations"]["runbook_url"] for rule in linked} == anchors
    assert not any("runbook_url" in rule["annotations"] for rule in rules())


def test_thresholds_durations_and_severities_come_from_the_values() -> None:
    own = {"OutboxMessagesFailed": {"threshold": 25, "for": "1h", "severity": "page"}}
    changed = rules({"prometheusRule": {"enabled": True, "alerts": own, "additionalLabels": {"team": "shop"}}})
    rule = next(rule for rule in changed if rule["alert"] == "OutboxMessagesFailed")
    assert rule["expr"].endswith("> 25")
    assert rule["for"] == "1h"
    assert rule["labels"] == {"severity": "page", "team": "shop"}


@pytest.mark.parametrize("key", ["OutboxOperatorDown", "OutboxOldestMessageTooOldCritical"])
def test_an_alert_can_be_switched_off(key: str) -> None:
    without = rules({"prometheusRule": {"enabled": True, "alerts": {key: {"enabled": False}}}})
    assert len(without) == len(rules()) - 1


def test_with_all_alerts_of_a_group_off_the_group_is_gone() -> None:
    off = {
        key: {"enabled": False} for key in ("OutboxResourceNotReady", "OutboxAutoscalingNotReady", "OutboxOperatorDown")
    }
    assert [group["name"] for group in groups({"prometheusRule": {"enabled": True, "alerts": off}})] == [
        "outbox-workers"
    ]


def test_the_rules_carry_the_labels_their_prometheus_selects_by() -> None:
    values = {**OBSERVED, "prometheusRule": {"enabled": True, "labels": {"release": "kps"}, "namespace": "monitoring"}}
    metadata = one(render(values), "PrometheusRule")["metadata"]
    assert metadata["labels"]["release"] == "kps"
    assert metadata["namespace"] == "monitoring"
