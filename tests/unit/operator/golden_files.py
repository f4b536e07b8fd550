"""Compare with a golden file; `UPDATE_GOLDEN=1 pytest tests/unit/operator` rewrites them for review."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "golden"


def assert_golden(name: str, obj: Any) -> None:
    path = FOLDER / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(obj, sort_keys=False, width=120))
    assert obj == yaml.safe_load(path.read_text()), f"differs from {path.name}; run with UPDATE_GOLDEN=1 and review"
