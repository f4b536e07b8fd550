"""The names of the series that workers and operator export, read from the modules that define them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from prometheus_client.metrics import MetricWrapperBase

import django_outbox.metrics
import outbox_operator.metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


@cache
def exported_series() -> frozenset[str]:
    """Return every name that a query may ask for."""
    modules: tuple[Any, ...] = (django_outbox.metrics, outbox_operator.metrics)
    return frozenset(name for module in modules for member in vars(module).values() for name in _names(member))


def _names(member: object) -> Iterator[str]:
    if isinstance(member, django_outbox.metrics.GaugeName):
        yield member.name
    elif isinstance(member, MetricWrapperBase):
        for family in member.collect():
            yield from (family.name + suffix for suffix in _SUFFIXES[family.type])
