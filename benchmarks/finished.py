"""Ten million finished rows in the outbox: what that does to the publisher, its claim, and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import publish
from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

FINISHED = 10_000_000
BACKLOG = 20_000
_CHUNK = 500_000
_TIMED = """
import json, time
from statistics import median
from django.db import connection, transaction
from django_outbox import store
def undo(work):
    with transaction.atomic():
        work()
        transaction.set_rollback(True)
def milliseconds(work):
    times = []
    for n in range(21):
        started = time.perf_counter()
        undo(work)
        times.append(1000 * (time.perf_counter() - started))
    return median(times)
def explained(work):
    def explain(execute, sql, params, many, context):
        with connection.connection.cursor() as cursor:
            (plan,), = cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params).fetchall()
        taken.append(plan[0]["Planning Time"] + plan[0]["Execution Time"])
        return execute(sql, params, many, context)
    taken = []
    with connection.execute_wrapper(explain):
        for n in range(21):
            undo(work)
    return median(taken)
print(json.dumps({
    "claim query of 1": explained(lambda: store.claim(1, 60)),
    "claim query of 500": explained(lambda: store.claim(500, 60)),
    "claim of 1": milliseconds(lambda: store.claim(1, 60)),
    "claim of 500": milliseconds(lambda: store.claim(500, 60)),
    "look": milliseconds(store.look),
    "metrics": milliseconds(store.backlog),
}))
"""


def prepare(on: Stage, scale: Scale) -> None:
    """Write the finished rows, once."""
    on.ours.empty()
    left = scale.of(FINISHED)
    while left > 0:
        on.ours.rows(
            """
            INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers)
            SELECT gen_random_uuid(), '/queue/done', '{"n": 1}', now() - interval '1 day', now(), 0, 2, '{}'
            FROM generate_series(1, %s)
            """,
            min(left, _CHUNK),
        )
        left -= _CHUNK
    on.ours.rows("VACUUM ANALYZE published")


def publishing(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of a relay beside the finished rows."""
    return {"beside finished": publish.work_off(on, scale.of(BACKLOG, 5000), keep=True).rate}


def empty(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of a relay on a database where they are out of the way."""
    on.ours.rows("ALTER TABLE published RENAME TO full_one")
    on.ours.rows("CREATE TABLE published (LIKE full_one INCLUDING ALL)")
    try:
        return {"empty table": publish.work_off(on, scale.of(BACKLOG, 5000), keep=True).rate}
    finally:
        on.ours.rows("DROP TABLE published")
        on.ours.rows("ALTER TABLE full_one RENAME TO published")


def queries(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the milliseconds of the publisher's queries, 500 rows waiting.

    A query's are PostgreSQL's own, to plan and to run it; the others are those of a call, with BEGIN and ROLLBACK.
    """
    on.fill_outbox(on.ours, on.new_queue(publish.QUEUE), 500)
    figures = on.ours.python(_TIMED)
    on.ours.rows("UPDATE published SET status = 2 WHERE status = 1")
    return {f"{name} (ms)": value for name, value in figures.items()}


SCENARIO = Scenario(
    title=f"beside {FINISHED:,} finished rows",
    unit="messages/s",
    measures={"beside": publishing, "empty": empty, "queries": queries},
    targets=[
        Target("beside finished", over="empty table", at_least=0.9),
        Target("claim query of 1 (ms)", at_most=2),
        Target("metrics (ms)", at_most=10),
    ],
    prepare=prepare,
    quick=0.005,
)
