"""A thousand messages cost what ``benchmarks/baseline.json`` says; ``python -m benchmarks.counters --renew`` renews."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.counters import BASELINE, MEASURE

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project


def test_what_a_thousand_messages_cost_is_what_was_written_down(project: Project) -> None:
    found = json.loads(project.python(MEASURE, WAKE_BY_NOTIFY=False).splitlines()[-1])
    assert found == json.loads(BASELINE.read_text())
