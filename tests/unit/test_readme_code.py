"""The README's Python is Python, and every document it links to is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LINKS = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]


def test_the_readme_shows_code() -> None:
    """Else the next tests would look at nothing."""
    assert PYTHON
    assert LINKS


@pytest.mark.parametrize("code", PYTHON)
def test_code_in_the_readme_parses_and_imports_what_exists(code: str) -> None:
    """Each import from our package is run; the rest is only read."""
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        if node.module and node.module.startswith("django_outbox"):
            module = __import__(node.module, fromlist=[alias.name for alias in node.names])
            assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize("link", LINKS)
def test_links_of_the_readme_lead_somewhere(link: str) -> None:
    """Within the repository."""
    assert (ROOT / link).exists()
