"""What a thousand messages cost in numbers that no machine changes: statements, transactions, bytes to the broker.

Held against ``baseline.json`` by the test suite. ``python -m benchmarks.counters`` prints them, ``--renew`` writes the
baseline: do that when a change of these numbers is wanted, and say in the commit why.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness.stage import stage

BASELINE = Path(__file__).with_name("baseline.json")
# Run in a project with an empty outbox on PostgreSQL; the broker is the one in memory, so nobody waits.
MEASURE = """
import json
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_outbox import batch_callback
from django_outbox.models import Published
from django_outbox.testing import deliver, run_relay
from django_outbox.transport.frames import send_frame
from django_outbox.transport.memory import MemoryBroker

def save(payload):
    payload.save()

@batch_callback(size=100)
def save_batch(payloads):
    pass

def cost(work):
    connection.ensure_connection()
    with CaptureQueriesContext(connection) as captured:
        work()
    statements = transactions = 0
    is_open = False
    for query in captured.captured_queries:
        word = query["sql"].split()[0]
        if word in {"BEGIN", "COMMIT", "ROLLBACK"}:
            is_open = word == "BEGIN"
            transactions += is_open
        elif word not in {"SAVEPOINT", "RELEASE"}:
            statements += 1
            transactions += not is_open
    return {"statements": statements, "transactions": transactions}

def fill(destination):
    for n in range(1000):
        Published.objects.create(destination=destination, body={"n": f"{n:04}", "pad": "x" * 180})

def consuming(callback):
    name = callback.__name__
    broker = MemoryBroker(remembers=True)
    fill(f"/topic/{name}")
    run_relay(broker)
    return cost(lambda: deliver(callback, f"/topic/{name}", name, broker=broker))

found = {"create": cost(lambda: fill("/topic/counted"))}
broker = MemoryBroker()
found["publish"] = cost(lambda: run_relay(broker))
# A time that happens to have no fraction is shorter.
same = {"dop-msg-sent-time": "2026-01-01T00:00:00.000Z"}
frames = [send_frame(one.destination, one.body, {**one.headers, **same}, "1-1000") for one in broker.messages]
found["publish"]["bytes"] = sum(map(len, frames))
found["consume"] = consuming(save)
found["consume in batches"] = consuming(save_batch)
print(json.dumps(found))
"""


def main(arguments: list[str]) -> int:
    """Measure on a server of its own."""
    with stage() as on:
        found: dict[str, Any] = on.ours.python(MEASURE, WAKE_BY_NOTIFY=False)
    text = json.dumps(found, indent=2) + "\n"
    if "--renew" in arguments:
        BASELINE.write_text(text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
