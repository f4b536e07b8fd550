"""The picture of the results: a panel for each scenario, a bar for each figure, drawn as SVG without a library."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from benchmarks.harness.report import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _LABEL, _BAR, _LINE, _GAP, _HEAD = 760, 200, 400, 22, 26, 26
_OURS, _PEER, _CEILING = "#2f6fb3", "#c9822b", "#9aa3ad"
# How the names of what no library can pass begin; stomp.py is there as the client alone.
_CEILINGS = ("bare ", "raw ", "stomp.py")
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.value{fill:#57606a}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.value{fill:#9da7b1}}"
)


def draw(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the SVG of the scenarios that count something in a second, each on a scale of its own."""
    drawn, y = [], 12
    for result in results:
        if not result["unit"].endswith("/s"):
            continue
        bars = {name: figure for name, figure in result["figures"].items() if not name.endswith(")")}
        drawn.append(_text(0, y + 14, f"{result['title']} ({result['unit']})", "title"))
        y += _HEAD
        longest = max(figure["max"] for figure in bars.values())
        for name, figure in bars.items():
            drawn.append(_bar(name, figure, longest, y))
            y += _LINE
        y += _GAP - 10
    body = "\n".join(drawn)
    size = f'viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{_STYLE}</style>\n{body}\n</svg>\n'


def _bar(name: str, figure: Mapping[str, float], longest: float, y: int) -> str:
    """Return a bar up to the median, with a line over it from the least to the most."""
    middle, low, high = (_BAR * figure[key] / longest for key in ("median", "min", "max"))
    colour, centre = _colour_of(name), y + 7
    return "\n".join(
        (
            _text(12, y + 12, name),
            f'<rect x="{_LABEL}" y="{y}" width="{max(middle, 1):.1f}" height="14" rx="2" fill="{colour}"/>',
            f'<path d="M{_LABEL + low:.1f} {centre}H{_LABEL + high:.1f}" stroke="#24292f" stroke-opacity=".6"/>',
            _text(_LABEL + round(max(middle, high)) + 8, y + 12, number(figure["median"]), "value"),
        )
    )


def _colour_of(name: str) -> str:
    if name.startswith(_CEILINGS):
        return _CEILING
    return _PEER if name.startswith("peer") else _OURS


def _text(x: int, y: int, words: str, kind: str | None = None) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{attribute}>{escape(words)}</text>'
