"""What a process uses, from /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MEGABYTE: Final = 1024 * 1024


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used since its start, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    """Return the memory that a process holds now, in MiB."""
    return _status(pid, "VmRSS")


def peak_megabytes(pid: int) -> float:
    """Return the most memory that a process has ever held, in MiB."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        label, _, value = line.partition(":")
        if label == name:
            return int(value.split()[0]) * 1024 / _MEGABYTE
    raise ValueError(f"process {pid} tells no {name}")
