"""What a scenario is: measures that are taken in turn, and what their figures have to show. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.harness.stage import Stage

    # One measurement: its figures by name.
    Measure = Callable[[Stage, "Scale"], Mapping[str, float]]
    Samples = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Scale:
    """How large a run is: 1 is what the targets are about; ``--quick`` and developers take a fraction."""

    factor: float = 1.0

    def of(self, count: int, at_least: int = 20) -> int:
        """Return a number of messages or rows at this scale."""
        return max(min(at_least, count), round(count * self.factor))


@dataclass(frozen=True)
class Target:
    """What the median of a figure has to be, by itself or as a ratio to the figure ``over``."""

    figure: str
    over: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def value(self, samples: Samples) -> float | None:
        """Return the median, or the ratio of the medians; None where a figure was not measured."""
        if not samples.get(self.figure) or (self.over is not None and not samples.get(self.over)):
            return None
        own = median(samples[self.figure])
        return own if self.over is None else own / median(samples[self.over])

    def is_met(self, samples: Samples) -> bool | None:
        """Tell whether the target is met, None where it cannot be known."""
        value = self.value(samples)
        if value is None:
            return None
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def in_words(self) -> str:
        """Return the target as the table shows it."""
        limits = [f"≥ {self.at_least:g}"] if self.at_least is not None else []
        limits += [f"≤ {self.at_most:g}"] if self.at_most is not None else []
        return " and ".join(limits) + ("" if self.over is None else f" × {self.over}")


@dataclass(frozen=True)
class Scenario:
    """One row of the table.

    ``measures`` are taken in turn (A B A B ...), each as often as the run says; ``unit`` is that of their figures.
    ``prepare`` is called once before the first of them. ``quick`` is the fraction that ``--quick`` takes.
    """

    title: str
    unit: str
    measures: Mapping[str, Measure]
    targets: Sequence[Target] = ()
    prepare: Callable[[Stage, Scale], None] | None = None
    quick: float = 0.01


@dataclass
class Outcome:
    """What a scenario measured: every sample of every figure, in the order they were taken."""

    name: str
    scenario: Scenario
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figures: Mapping[str, float]) -> None:
        """Note the figures of one measurement."""
        for figure, value in figures.items():
            self.samples.setdefault(figure, []).append(value)
