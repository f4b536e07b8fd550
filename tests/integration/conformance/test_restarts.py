"""A broker that is killed and comes back, in every place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.conformance.places import conformance
from tests.integration.conformance.site import numbers

if TYPE_CHECKING:
    from tests.integration.conformance.conftest import Restarted
    from tests.integration.conformance.site import Site


@conformance("What the broker confirmed is there after it was killed")
def test_confirmed_messages_are_kept(site: Site, restarted: Restarted) -> None:
    if restarted.arrived is None:
        restarted.arrived = numbers(restarted.queue.take())
    assert restarted.arrived == list(range(restarted.count))


@conformance("Publisher and subscriber come back by themselves when the broker does")
def test_workers_come_back(site: Site, restarted: Restarted) -> None:
    assert (site.publisher.metric("outbox_broker_reconnects_total") or 0) >= 1
    assert (site.subscriber.metric("outbox_broker_reconnects_total") or 0) >= 1
    key = site.event("save")
    site.subscriber.wait_for("the effect", lambda: site.effects(key))
