"""Make every generated file of the repository again, or with ``--check`` tell which ones are stale.

``make generate`` and ``make verify`` call this. Each generator is a function that returns paths and texts; writing
and comparing is done here, once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.chart import crds, readme
from tools.dashboards import outbox
from tools.reference import api, page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
GENERATORS: tuple[Callable[[Path], Mapping[Path, str]], ...] = (
    crds.files,
    readme.files,
    outbox.files,
    page.files,
    api.files,
)


def wanted(root: Path) -> dict[Path, str]:
    """Return the text each generated file should have."""
    return {path: text for generate in GENERATORS for path, text in generate(root).items()}


def stale(root: Path) -> list[Path]:
    """Return the generated files that differ from what their sources give, missing ones included."""
    return [path for path, text in wanted(root).items() if not path.exists() or path.read_text("utf-8") != text]


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when every file is fresh or was made so; 1 when ``--check`` found a stale one."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is stale")
    check = parser.parse_args(arguments).check
    paths = stale(ROOT)
    for path in paths:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted(ROOT)[path], "utf-8")
    if check and paths:
        print("Run `make generate` and commit what it writes.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
