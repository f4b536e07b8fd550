"""Give every test the marker of its tier, which is the folder it lies in, and bring in the real servers' fixtures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

TIERS = ("unit", "contract", "integration", "chart", "cluster", "keda", "e2e", "chaos")
HERE = Path(__file__).parent

pytest_plugins = ["tests.rig.pytest_services", "tests.conformance_record"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier and keep the tiers in order, whatever the random order within them."""
    for item in items:
        tier = item.path.relative_to(HERE).parts[0]
        if tier in TIERS:
            item.add_marker(tier)
    items.sort(key=_tier_rank)


def _tier_rank(item: pytest.Item) -> int:
    tier = item.path.relative_to(HERE).parts[0]
    return TIERS.index(tier) if tier in TIERS else len(TIERS)
