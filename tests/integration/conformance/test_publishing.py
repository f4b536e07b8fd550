"""The publisher, in every place: what is committed arrives, once and in order, and what cannot arrive is told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.integration.conformance.places import conformance
from tests.integration.conformance.site import PAUSE_SECONDS, Site, numbers
from tests.integration.library.publish.publisher import FAILED

if TYPE_CHECKING:
    from typing import Any

    from tests.stomp_queue import StompQueue

# A slip that every broker answers in its own way: an ERROR, an ERROR and the end of the connection, the end at once.
BAD = "Published.objects.create(destination=destination, body={'n': -1}, headers={'priority': 'high'}).pk"
ROW = "Published.objects.filter(pk=pk).values('status', 'retry', 'last_error', 'claim_token')[0]"
REST = "(Published.objects.get(pk=pk).next_attempt_at - now()).total_seconds()"


def _rested(site: Site, pk: str) -> bool:
    return bool(site.ask(ROW, pk=pk)["retry"] == 3)


def _bad_row(site: Site, queue: StompQueue) -> str:
    """Write a row that no broker takes; return its id when it has failed three times."""
    pk = str(site.ask(BAD, destination=queue.destination))
    site.publisher.wait_for("the long pause", lambda: _rested(site, pk))
    return pk


@conformance("Confirmed and persistent, in the order of writing")
def test_one_publisher_sends_in_the_order_of_writing(site: Site) -> None:
    queue = site.queue("order")
    site.fill(queue, 100)
    site.wait_sent(queue, 100)
    messages = queue.take()
    assert numbers(messages) == list(range(100))
    assert {message.headers["persistent"] for message in messages} == {"true"}
    assert len({message.headers["dop-msg-id"] for message in messages}) == 100


@conformance("Publishers side by side send no row twice, and keep the order of each key")
def test_publishers_side_by_side(site: Site) -> None:
    second = site.publish().wait_ready()
    plain, keyed = site.queue("shared"), site.queue("keyed")
    site.fill(plain, 300)
    site.fill(keyed, 120, keys=6)
    site.wait_sent(plain, 300)
    site.wait_sent(keyed, 120)
    assert second.stop() == 0
    assert Counter(numbers(plain.take())) == Counter(range(300))
    arrived = numbers(keyed.take())
    for key in range(6):
        assert [number for number in arrived if number % 6 == key] == list(range(key, 120, 6))


@conformance("A bad row is found, and rests by a schedule that the database keeps; the others go")
def test_a_bad_row_is_isolated_and_rests(site: Site) -> None:
    queue = site.queue("mixed")
    site.fill(queue, 30)
    pk = str(site.ask(BAD, destination=queue.destination))
    site.fill(queue, 30)
    site.wait_sent(queue, 60)
    site.publisher.wait_for("the long pause", lambda: _rested(site, pk))
    row: dict[str, Any] = site.ask(ROW, pk=pk)
    assert (row["status"], row["claim_token"]) == (1, None)
    assert row["last_error"]
    assert PAUSE_SECONDS / 2 < site.ask(REST, pk=pk) <= PAUSE_SECONDS
    assert Counter(numbers(queue.take())).keys() == set(range(30))
    others = "Published.objects.filter(destination=destination).exclude(pk=pk).aggregate(m=Max('retry'))['m']"
    assert site.ask(others, destination=queue.destination, pk=pk) == 0, "the others are not blamed"


@conformance("A row that failed as often as it may is parked with its error")
def test_a_bad_row_is_parked(site: Site) -> None:
    pk = _bad_row(site, site.queue("parked"))
    site.ask("Published.objects.filter(pk=pk).update(next_attempt_at=now())", pk=pk)
    site.publisher.wait_for("the row is parked", lambda: site.ask(ROW, pk=pk)["status"] == FAILED)
    row = site.ask(ROW, pk=pk)
    assert row["retry"] == 4
    assert row["last_error"]


@conformance("A commit is noticed", says={"postgres": "by NOTIFY", "mariadb": "by polling", "sqlite": "by polling"})
def test_a_commit_is_noticed(site: Site) -> None:
    source = "notify" if "postgresql" in site.database.django["ENGINE"] else "poll"
    queue = site.queue("noticed")

    def woken(source: str) -> float:
        return site.publisher.metric("outbox_wakeups_total", source=source) or 0

    def sent_and_woken() -> bool:
        site.ask("enqueue(destination, {'n': 0}).pk", destination=queue.destination)
        site.publisher.wait_for("the row is sent", lambda: not waiting())
        return woken(source) > before

    def waiting() -> int:
        return int(site.ask("Published.objects.filter(destination=d, status=1).count()", d=queue.destination))

    before = woken(source)
    # One that comes while the publisher is busy wakes nobody.
    site.publisher.wait_for(f"woken by {source}", sent_and_woken)
    assert source == "notify" or not woken("notify")


@conformance("What a dead publisher had claimed is sent by another")
def test_the_claims_of_a_dead_publisher_end(site: Site) -> None:
    queue = site.queue("claimed")
    held = "[Published(destination=d, body={'n': n}, claim_token=uuid4(), claimed_until=until) for n in range(10)]"
    rows = f"(lambda until: len(Published.objects.bulk_create({held})))(now() + timedelta(seconds=3))"
    assert site.ask(rows, d=queue.destination) == 10
    assert site.sent(queue.destination) == 0
    site.wait_sent(queue, 10)
    assert (
        site.ask("Published.objects.filter(destination=d, claimed_until__gt=now()).count()", d=queue.destination) == 0
    )
    assert numbers(queue.take()) == list(range(10))
