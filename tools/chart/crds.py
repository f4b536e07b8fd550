"""Copy ``crds/`` into the chart and into the operator's package.

``crds/`` is the truth, but Helm reads only what lies inside a chart, and the operator only what is installed with it.
The copies are the same bytes; the template ``crds.yaml`` adds labels and the keep annotation when it renders them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "crds"
COPIES = ("charts/outbox-operator/files/crds", "operator/outbox_operator/schema/crds")


def files(root: Path) -> dict[Path, str]:
    """Return the copies of each CRD."""
    sources = sorted((root / SOURCE).glob("*.yaml"))
    return {root / copy / source.name: source.read_text("utf-8") for copy in COPIES for source in sources}
