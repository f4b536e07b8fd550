"""What the README and the example show people to apply is what the API server takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster

ROOT = Path(__file__).parents[2]


def test_the_api_server_takes_the_resources_that_the_readme_shows(own: Cluster) -> None:
    """Strictly: a field that does not exist would be refused."""
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    kinds = [document["kind"] for document in yaml.safe_load_all(shown)]
    answer = own.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=shown)
    assert kinds == ["Publisher", "Subscription"]
    assert answer.count("created (server dry run)") == len(kinds)
