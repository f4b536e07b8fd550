"""Put the sections of the reference page together. ``tools.generate`` calls ``files``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.reference import commands, metrics, resources, settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREAMBLE = """\
# Reference

Made from the code by `make generate`; to change a text, change the place it describes.

- [Settings](#settings) of the Django app
- [Commands](#commands)
- [Metrics](#metrics) of the workers and of the operator
- [Publisher](#publisher) and [Subscription](#subscription)
- [Conditions](#conditions) and their reasons
"""


def files(root: Path) -> Mapping[Path, str]:
    """Return the page as the code wants it."""
    sections = (PREAMBLE, settings.section(), commands.section(), metrics.section(), resources.section(root))
    return {root / "docs" / "reference.md": "\n".join(sections)}
