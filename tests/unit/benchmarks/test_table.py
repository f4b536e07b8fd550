"""The table of the benchmarks holds medians against targets, and says where something was not measured."""

from __future__ import annotations

import importlib
from xml.etree import ElementTree as ET

import pytest

from benchmarks.__main__ import SCENARIOS
from benchmarks.harness import picture, results
from benchmarks.harness.report import table
from benchmarks.harness.scenario import Outcome, Scale, Scenario, Target

SAMPLES = {"ours": [900.0, 700.0, 100.0], "peer": [100.0, 90.0, 5000.0]}
RATIO = Target("ours", over="peer", at_least=7)


def _outcome(*targets: Target) -> Outcome:
    return Outcome("publish", Scenario("publish", "messages/s", {}, targets), dict(SAMPLES))


def test_a_ratio_is_that_of_the_medians() -> None:
    assert RATIO.value(SAMPLES) == 7
    assert RATIO.is_met(SAMPLES)
    assert not Target("ours", over="peer", at_least=7.1).is_met(SAMPLES)
    assert not Target("ours", at_least=600, at_most=650).is_met(SAMPLES)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert RATIO.is_met({"ours": [1.0]}) is None
    assert "not measured" in table([_outcome(Target("ours", over="nobody", at_least=1))])


def test_the_table_shows_median_range_ratio_and_verdict() -> None:
    lines = table([_outcome(RATIO, Target("ours", at_most=5))]).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        *("publish", "ours", "700 messages/s", "100 – 900", "3", "7.00 ×", "≥ 7 × peer", "met")
    ]
    assert "NOT MET" in lines[3]
    assert len({len(line) for line in lines}) == 1


def test_a_scale_never_goes_below_what_can_be_measured() -> None:
    assert [Scale(factor).of(10_000, 200) for factor in (1, 0.1, 0.001)] == [10_000, 1000, 200]
    assert Scale(0.001).of(100, 200) == 100


def test_the_picture_is_well_formed_and_names_every_figure() -> None:
    drawn = ET.fromstring(picture.draw([results.as_json(_outcome(RATIO), Scale())]))
    words = {element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"ours", "peer", "700", "100", "publish (messages/s)"} <= words


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_has_measures_and_targets_about_figures(name: str) -> None:
    scenario = importlib.import_module(f"benchmarks.{name}").SCENARIO
    assert scenario.title
    assert scenario.measures
    assert all(target.at_least is not None or target.at_most is not None for target in scenario.targets)
