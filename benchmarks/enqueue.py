"""``Published.objects.create`` in a loop, each row a transaction of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.products import Product
    from benchmarks.harness.stage import Stage

_CREATE = """
import json, time
from django_outbox_pattern.models import Published
pad = "x" * 180
def create(count):
    started = time.perf_counter()
    for n in range(count):
        Published.objects.create(destination="/queue/bench-enqueue", body={"n": n, "pad": pad})
    return count / (time.perf_counter() - started)
create(100)
print(json.dumps({"rate": create(COUNT)}))
"""
_STATEMENT = """
import json, time
from django.db import connection
from uuid import uuid4
body = json.dumps({"n": 1, "pad": "x" * 180})
headers = json.dumps({"dop-msg-id": str(uuid4()), "dop-correlation-id": str(uuid4()), "pad": "x" * 120})
def insert(count):
    started = time.perf_counter()
    connection.ensure_connection()
    raw = connection.connection
    for n in range(count):
        raw.execute("INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers)"
                    " VALUES (%s, %s, %s, now(), now(), 0, 1, %s)", [uuid4(), "/queue/bench-enqueue", body, headers])
    return count / (time.perf_counter() - started)
insert(100)
print(json.dumps({"rate": insert(COUNT)}))
"""


def create_rate(product: Product, count: int) -> float:
    """Return the rows a second of a product's ``create``."""
    product.empty()
    return product.python(_CREATE.replace("COUNT", str(count)))["rate"]


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ours."""
    return {"ours": create_rate(on.ours, scale.of(5000, 200))}


def peer(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the peer."""
    return {"peer": create_rate(on.peer, scale.of(5000, 200))}


def statement(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of a single INSERT and its commit, without an ORM."""
    on.ours.empty()
    return {"bare INSERT": on.ours.python(_STATEMENT.replace("COUNT", str(scale.of(5000, 200))))["rate"]}


SCENARIO = Scenario(
    title="enqueue, create()",
    unit="rows/s",
    measures={"ours": ours, "peer": peer, "statement": statement},
    targets=[Target("ours", over="peer", at_least=1.3)],
    quick=0.04,
)
