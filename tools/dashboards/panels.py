"""Panels as this project draws them: a few shapes over Grafana's builder, so that the dashboard reads as a list.

``outbox.py`` says which panels there are; the shapes, colours and the grid are decided here. Every panel says in its
description what a reader should conclude from it. Units are Grafana's names: ``s``, ``ops``, ``short``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as prometheus_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
GRID_WIDTH = 24

Panel = stat.Panel | timeseries.Panel | table.Panel


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the name of its series, in Grafana's ``{{label}}`` form."""

    expr: str
    legend: str = "__auto"


def number(title: str, description: str, query: Query, unit: str = "short", warn_at: float | None = None) -> Panel:
    """Return one large number with its recent course; it turns red at ``warn_at``."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .graph_mode(common_model.BigValueGraphMode.AREA)
        .color_mode(common_model.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(warn_at))
        .no_value("no data")
    )
    return panel.with_target(_range(query, 0))


def graph(title: str, description: str, queries: Sequence[Query], unit: str = "short") -> Panel:
    """Return a line for each series over time, with the last and the highest value in the legend."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .min(0)
        .line_width(1)
        .fill_opacity(10)
        .show_points(common_model.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.TABLE)
            .placement(common_model.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    for index, query in enumerate(queries):
        panel = panel.with_target(_range(query, index))
    return panel


def listing(
    title: str, description: str, query: Query, columns: dict[str, str], value: dict[float, str] | None = None
) -> Panel:
    """Return a table of the series as they are now.

    ``columns`` maps labels to headings, in their order; ``"Value"`` stands for the number, which ``value`` puts in
    words.
    """
    target = (
        prometheus.Dataquery().expr(query.expr).format(prometheus_model.PromQueryFormat.TABLE).instant().ref_id("A")
    )
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .with_target(target.datasource(DATASOURCE))
        .with_transformation(_columns(columns))
        .no_value("no data")
    )
    if value:
        panel = panel.mappings([_in_words(value)]).thresholds(_steps({None: "red", 1: "green", 2: "blue"}))
        properties = [model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"})]
        panel = panel.override_by_name(columns["Value"], properties)
        panel = panel.sort_by([common.TableSortByFieldState().display_name(columns["Value"]).desc(False)])
    return panel


@dataclass(frozen=True)
class Row:
    """A heading and the lines of panels below it; the panels of one line share its width evenly."""

    title: str
    lines: Sequence[tuple[int, Sequence[Panel]]]


def place(board: dashboard.Dashboard, rows: Sequence[Row]) -> dashboard.Dashboard:
    """Put the rows on the board from top to bottom; ``lines`` give each line's height in grid units."""
    top, number_of_panels = 0, 0

    def next_id() -> int:
        nonlocal number_of_panels
        number_of_panels += 1
        return number_of_panels

    for row in rows:
        heading = dashboard.Row(row.title).id(next_id()).grid_pos(_at(0, top, GRID_WIDTH, 1))
        board = board.with_row(heading)
        top += 1
        for height, panels in row.lines:
            _place_line(board, panels, top, height, next_id)
            top += height
    return board


def _place_line(
    board: dashboard.Dashboard, panels: Sequence[Panel], top: int, height: int, next_id: Callable[[], int]
) -> None:
    width, rest = divmod(GRID_WIDTH, len(panels))
    if rest:
        raise ValueError(f"{len(panels)} panels cannot share {GRID_WIDTH} columns evenly")
    for index, panel in enumerate(panels):
        board.with_panel(panel.id(next_id()).grid_pos(_at(index * width, top, width, height)))


def _at(left: int, top: int, width: int, height: int) -> model.GridPos:
    return model.GridPos(x=left, y=top, w=width, h=height)


def _range(query: Query, index: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).range()
    return target.ref_id(chr(ord("A") + index)).datasource(DATASOURCE)


def _thresholds(warn_at: float | None) -> dashboard.ThresholdsConfig:
    return _steps({None: "text"} if warn_at is None else {None: "green", warn_at: "red"})


def _steps(colours: Mapping[float | None, str]) -> dashboard.ThresholdsConfig:
    """Return thresholds: each colour holds from its value on, None being the bottom."""
    steps = [model.Threshold(value=value, color=colour) for value, colour in colours.items()]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _columns(columns: dict[str, str]) -> model.DataTransformerConfig:
    options = {
        "indexByName": {label: index for index, label in enumerate(columns)},
        "renameByName": columns,
        "includeByName": dict.fromkeys(columns, True),
    }
    return model.DataTransformerConfig(id_val="organize", options=options)


def _in_words(words: dict[float, str]) -> model.ValueMap:
    return model.ValueMap(options={f"{value:g}": model.ValueMappingResult(text=text) for value, text in words.items()})
