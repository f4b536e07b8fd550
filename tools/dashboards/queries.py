"""Every PromQL expression that the chart delivers, ready to be run against a Prometheus.

The tests ask for them with the objects that ``helm template`` rendered: the chart tier checks that each metric exists
in the code, the end-to-end tier that each expression gives series beside live workers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]

# What Grafana puts in for "All" and, at the usual scrape interval, for the interval.
SUBSTITUTES = {
    "$namespace": ".*",
    "$publisher": ".+",
    "$subscription": ".+",
    "$__rate_interval": "1m",
}
# The alerts compare one expression with one number; Prometheus drops the series for which that is false.
_COMPARISON = re.compile(r"^(?P<signal>.*\S)\s*(?:==|!=|>=|<=|>|<)\s*(?:[0-9.]+(?:e[+-]?[0-9]+)?)$", re.DOTALL)
_ABSENT = re.compile(r"^absent\((?P<signal>.*)\)$", re.DOTALL)
_LABEL_VALUES = re.compile(r"^label_values\((?P<signal>.*),\s*\w+\)$", re.DOTALL)
_METRIC = re.compile(r"\boutbox_[a-z0-9_]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Expression:
    """A query as it was written, and ``signal``, the part of it that has series while all is well.

    They differ for an alert, which has none until it fires: its signal is what it compares with a threshold.
    ``source`` is ``alert``, ``panel`` or ``variable``, ``name`` the alert's name, the panel's title or the variable's.
    """

    source: str
    name: str
    expr: str
    signal: str

    @property
    def metrics(self) -> set[str]:
        """Return the names of our metrics in it; of those named by a regular expression, each alternative."""
        named = {name for text in re.findall(r'__name__=~"([^"]*)"', self.expr) for name in text.split("|") if name}
        return named | set(_METRIC.findall(_STRING.sub('""', self.expr)))


def expressions(manifests: Iterable[Manifest]) -> list[Expression]:
    """Return the expressions of every PrometheusRule and of every dashboard in a ConfigMap among the objects."""
    found: list[Expression] = []
    for manifest in manifests:
        if manifest["kind"] == "PrometheusRule":
            found += _of_rules(manifest["spec"])
        elif manifest["kind"] == "ConfigMap":
            texts = [text for name, text in (manifest.get("data") or {}).items() if name.endswith(".json")]
            found += [expression for text in texts for expression in _of_dashboard(json.loads(text))]
    return found


def _of_rules(spec: Manifest) -> Iterator[Expression]:
    for group in spec["groups"]:
        for rule in group["rules"]:
            expr = rule["expr"].strip()
            yield Expression("alert", rule["alert"], expr, _signal(expr, _COMPARISON, _ABSENT))


def _of_dashboard(board: Manifest) -> Iterator[Expression]:
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            expr = _substituted(variable["query"])
            yield Expression("variable", variable["name"], expr, _signal(expr, _LABEL_VALUES))
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expr = _substituted(target["expr"])
            yield Expression("panel", panel["title"], expr, expr)


def _signal(expr: str, *patterns: re.Pattern[str]) -> str:
    for pattern in patterns:
        if match := pattern.match(expr):
            return match["signal"]
    return expr


def _substituted(expr: str) -> str:
    for variable, value in SUBSTITUTES.items():
        expr = expr.replace(variable, value)
    if "$" in expr:
        raise ValueError(f"a variable of the dashboard has no substitute in tools/dashboards/queries.py: {expr}")
    return expr
