"""Copy ``crds/`` into the chart.

``crds/`` is the truth, but Helm reads only what lies inside a chart. The copies are the same bytes; the template
``crds.yaml`` adds labels and the keep annotation when it renders them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "crds"
COPY = "charts/outbox-operator/files/crds"


def files(root: Path) -> dict[Path, str]:
    """Return the chart's copy of each CRD."""
    return {root / COPY / source.name: source.read_text("utf-8") for source in sorted((root / SOURCE).glob("*.yaml"))}
