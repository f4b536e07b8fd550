"""Many rows at once, against the peer's ``create``: its ``bulk_create`` forgets the headers. The ceiling is COPY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import enqueue
from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

_BULK = """
import json, time
from django.db import transaction
from django_outbox_pattern.models import Published
pad = "x" * 180
def write(count):
    started = time.perf_counter()
    with transaction.atomic():
        Published.objects.bulk_create(
            Published(destination="/queue/bench-enqueue", body={"n": n, "pad": pad}) for n in range(count))
    return count / (time.perf_counter() - started)
write(100)
print(json.dumps({"rate": write(COUNT)}))
"""
_COPY = """
import json, time
from datetime import datetime, timezone
from uuid import uuid4
from django.db import connection
body = json.dumps({"n": 1, "pad": "x" * 180})
headers = json.dumps({"dop-msg-id": str(uuid4()), "dop-correlation-id": str(uuid4()), "pad": "x" * 120})
now = datetime.now(timezone.utc).isoformat()
lines = [f"{uuid4()}\\t/queue/bench-enqueue\\t{body}\\t{now}\\t{now}\\t0\\t1\\t{headers}\\n" for n in range(COUNT)]
data = "".join(lines)
connection.ensure_connection()
cursor = connection.connection.cursor()
started = time.perf_counter()
columns = "id, destination, body, added, expires_at, retry, status, headers"
with cursor.copy(f"COPY published ({columns}) FROM STDIN") as copy:
    copy.write(data)
print(json.dumps({"rate": COUNT / (time.perf_counter() - started)}))
"""


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ``bulk_create``."""
    on.ours.empty()
    return {"ours": on.ours.python(_BULK.replace("COUNT", str(scale.of(50_000, 2000))))["rate"]}


def copy(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of COPY with lines that were made before."""
    on.ours.empty()
    return {"bare COPY": on.ours.python(_COPY.replace("COUNT", str(scale.of(50_000, 2000))))["rate"]}


SCENARIO = Scenario(
    title="enqueue, bulk_create() of 50,000",
    unit="rows/s",
    measures={"ours": ours, "peer": enqueue.peer, "copy": copy},
    targets=[Target("ours", over="peer", at_least=15)],
    quick=0.04,
)
