"""Whether image layers can be stacked here: overlayfs does not lie on itself, as in a container without a volume."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path


def overlay_works(directory: Path) -> bool:
    """Try an overlay mount inside `directory`; without one, image stores copy whole file trees, slowly but surely."""
    with tempfile.TemporaryDirectory(prefix="overlay-tmp-", dir=directory) as folder:
        lower, upper, work, merged = (Path(folder) / name for name in ("lower", "upper", "work", "merged"))
        for part in (lower, upper, work, merged):
            part.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        argv = ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)]
        works = subprocess.run(argv, check=False, capture_output=True).returncode == 0
        if works:
            subprocess.run(["umount", str(merged)], check=False, capture_output=True)
        return works
