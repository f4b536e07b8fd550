"""The query that KEDA counts an outbox with, on a real table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from outbox_operator.build.triggers import outbox_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.library.publish.publisher import Project

ENOUGH = 50
FINISHED = 50_000


def counted(project: Project, table: str = "published", enough: int = ENOUGH) -> int:
    return int(project.database.rows(outbox_query(table, enough).replace("%", "%%"))[0][0])


def set_states(project: Project, condition: str, change: str) -> None:
    project.database.rows(f"UPDATE published SET {change} WHERE {condition}")


def test_rows_that_are_not_sent_are_counted_with_and_without_a_key(project: Project) -> None:
    project.database.fill("/topic/a", 7)
    set_states(project, "id IN (SELECT id FROM published LIMIT 3)", "key = 'customer-1'")
    assert counted(project) == 7


def test_rows_that_wait_for_their_next_attempt_or_are_with_a_publisher_are_counted(project: Project) -> None:
    project.database.fill("/topic/a", 2)
    set_states(project, "id = (SELECT id FROM published LIMIT 1)", "retry = 3, next_attempt_at = now() + interval '1h'")
    set_states(project, "retry = 0", "claimed_until = now() + interval '1h'")
    assert counted(project) == 2


def test_sent_and_parked_rows_are_not_counted(project: Project) -> None:
    project.database.fill("/topic/a", 3)
    set_states(project, "id = (SELECT id FROM published LIMIT 1)", "status = 2")
    set_states(project, "id = (SELECT id FROM published WHERE status = 1 LIMIT 1)", "status = -1")
    assert counted(project) == 1


def test_the_count_ends_where_all_workers_are_wanted(project: Project) -> None:
    project.database.fill("/topic/a", ENOUGH * 3)
    assert counted(project) == ENOUGH


def test_a_table_of_another_schema_can_be_named(project: Project) -> None:
    project.database.fill("/topic/a", 1)
    assert counted(project, table="public.published") == 1


@pytest.mark.parametrize("waiting", [0, ENOUGH * 20])
def test_neither_finished_rows_nor_a_long_backlog_are_walked_over(project: Project, waiting: int) -> None:
    project.database.fill("/topic/done", FINISHED)
    set_states(project, "true", "status = 2")
    if waiting:
        project.database.fill("/topic/due", waiting)
    project.database.rows("ANALYZE published")
    explained = project.database.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {outbox_query('published', ENOUGH)}")[0][0]
    scans = [node for node in nodes(explained[0]["Plan"]) if node["Node Type"].endswith("Scan")]
    assert {scan.get("Relation Name") for scan in scans} == {"published"}
    assert all("Index" in scan["Node Type"] for scan in scans), scans
    assert sum(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) for scan in scans) <= ENOUGH * 2


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
