"""What an application pays: a transaction with one outbox row, against the same row in a plain table.

The plain table has the same columns and the primary key, its model the same fields and nothing of ours; both are
written by ``create()``, in turn, in one process. What the outbox adds is headers, checks, indexes and the wake-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

_WRITE = """
import json, time, uuid
from statistics import mean
from django.db import transaction
from django.utils import timezone
from django_outbox_pattern.models import Published
from effects.models import Plain
pad = "x" * 180
first = Published.objects.create(destination="/queue/bench-commit", body={"n": 0, "pad": pad})
values = {field.name: getattr(first, field.name) for field in Published._meta.concrete_fields}
def outbox(n):
    Published.objects.create(destination="/queue/bench-commit", body={"n": n, "pad": pad})
def plain(n):
    Plain.objects.create(**values | {"id": uuid.uuid4(), "body": {"n": n, "pad": pad}, "added": timezone.now()})
def seconds(write, n):
    started = time.perf_counter()
    with transaction.atomic():
        write(n)
    return time.perf_counter() - started
taken = {outbox: [], plain: []}
for n in range(COUNT):
    for write, times in taken.items():
        times.append(seconds(write, n))
print(json.dumps({write.__name__: 1000 * mean(times[len(times) // 20:]) for write, times in taken.items()}))
"""


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the mean milliseconds of both."""
    on.ours.empty()
    figures = on.ours.python(_WRITE.replace("COUNT", str(scale.of(5000, 200))))
    return {"outbox row": figures["outbox"], "plain table": figures["plain"]}


SCENARIO = Scenario(
    title="a transaction with one row",
    unit="ms",
    measures={"ours": ours},
    targets=[Target("outbox row", over="plain table", at_most=1.15)],
    quick=0.04,
)
