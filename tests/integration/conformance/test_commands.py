"""The commands for people, in every place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.conformance.places import conformance

if TYPE_CHECKING:
    from tests.integration.conformance.site import Site

PARKED = "Published.objects.create(destination=d, body={'n': 0}, status=-1, retry=50, last_error='the disk is full').pk"
AGED = "Published.objects.filter(destination=d).update(added=now() - timedelta(days=40))"


@conformance("`outbox status`, `audit`, `retry` and `purge`")
def test_rows_are_shown_sent_again_and_removed(site: Site) -> None:
    queue = site.queue("commands")
    d = queue.destination
    parked = str(site.ask(PARKED, d=d))
    shown = site.application.manage("outbox", "status", "--json").document()
    assert [line["failed"] for line in shown["destinations"] if line["destination"] == d] == [1]
    audited = site.application.manage("outbox", "audit", "--json", "--examples=1000").document(2)
    assert parked in audited["failed"]["examples"]
    retry = ("outbox", "retry", "--destination", d, "--error", "DISK", "--json")
    assert site.application.manage(*retry, "--dry-run").document()["matched"] == 1
    assert site.application.manage(*retry).document()["changed"] == 1
    site.wait_sent(queue, 1)
    assert len(queue.take()) == 1
    assert site.ask(AGED, d=d) == 1
    assert (
        site.application.manage("outbox", "purge", "--older-than=30d", "--json").document()["published"]["removed"] >= 1
    )
    assert site.ask("Published.objects.filter(destination=d).count()", d=d) == 0


@conformance("`outbox doctor` finds that all is well")
def test_the_doctor_finds_that_all_is_well(site: Site) -> None:
    found = site.application.manage("outbox", "doctor", "--json").document()
    assert [check for check in found["checks"] if check["level"] != "ok"] == []
    assert {"broker", "round trip", "database", "migrations"} <= {check["name"] for check in found["checks"]}
