"""The series of workers and operator, from the modules that define them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics import MetricWrapperBase

import django_outbox.metrics as worker
import outbox_operator.metrics as operator
from tools.reference.markdown import code, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

HEAD = ("Series", "Type", "Labels", "Meaning")


def section() -> str:
    """Return the section on metrics."""
    return (
        "\n## Metrics\n\n### Workers\n\nOn `/metrics` of the port given by `--metrics-port`.\n\n"
        + table(HEAD, sorted(_rows(worker)))
        + "\n### Operator\n\nOn `/metrics` of port 8080.\n\n"
        + table(HEAD, sorted(_rows(operator)))
    )


def _rows(module: ModuleType) -> Iterator[tuple[str, str, str, str]]:
    """Yield a line for each series that ``module`` defines, computed gauges included."""
    for value in vars(module).values():
        if isinstance(value, MetricWrapperBase):
            suffix = "_total" if value._type == "counter" else ""
            yield _row(f"{value._name}{suffix}", str(value._type), value._labelnames, value._documentation)
        elif isinstance(value, worker.GaugeName):
            yield _row(value.name, "gauge", value.labels, value.help)


def _row(name: str, kind: str, labels: tuple[str, ...], text: str) -> tuple[str, str, str, str]:
    return code(name), kind, ", ".join(code(label) for label in labels), text
