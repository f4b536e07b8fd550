"""The servers and the products of one run, and what scenarios do with them before they measure."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import products
from benchmarks.harness.wire import body, message_headers, send_confirmed
from tests.rig.hostservices import Postgres, RabbitMQ, serving
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness.products import Product

_UUID7 = """(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint + n), 12, '0')
    || '7' || substr(md5(n::text || random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid"""
_IDS = {"ours": _UUID7, "peer": "gen_random_uuid()"}


@dataclass
class Stage:
    """Two real servers and two products on them; a queue's name is its destination's last part."""

    postgres: Postgres
    rabbitmq: RabbitMQ
    ours: Product
    peer: Product

    def new_queue(self, name: str) -> str:
        """Make an empty durable queue and return the destination that reaches it."""
        self.rabbitmq.delete_queue(name)
        self.rabbitmq.declare_queue(name)
        return f"/queue/{name}"

    def depth(self, name: str) -> int:
        """Return how many messages are ready in a queue."""
        return self.rabbitmq.queue_depth(name) or 0

    def fill_outbox(self, product: Product, destination: str, count: int, *, status: int = 1) -> None:
        """Write rows as the product's own ``save()`` would, past it: the same body and the same headers."""
        product.rows(
            f"""
            INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers)
            SELECT id, %s, jsonb_build_object('n', n, 'pad', repeat('x', 180)),
                   clock_timestamp(), now() + interval '1 day', 0, %s,
                   jsonb_build_object('dop-msg-id', id::text, 'dop-msg-destination', %s::text,
                       'dop-msg-type', 'Published', 'dop-msg-sent-time', now()::text,
                       'dop-correlation-id', gen_random_uuid()::text)
            FROM (SELECT {_IDS[product.name]} AS id, n FROM generate_series(1, %s) AS n) AS numbered
            """,
            destination,
            status,
            destination,
            count,
        )
        product.rows("VACUUM ANALYZE published")

    def declare_by(self, product: Product, callback: str, destination: str) -> str:
        """Have a product declare its queue, empty and without a consumer; return the queue's name."""
        queue = f"{product.name}-{destination.rsplit('/', 1)[-1]}"
        if self.rabbitmq.api.queue(queue) is None:
            with product.running("subscribe", callback, destination, queue):
                wait_until(f"{queue} has a consumer", lambda: self._consumers(queue), seconds=60)
            wait_until(f"{queue} has no consumer", lambda: not self._consumers(queue), seconds=60)
        self.rabbitmq.purge(queue)
        return queue

    def fill_queue(self, queue: str, count: int) -> None:
        """Put messages into a queue that exists, as a publisher of either product would send them."""
        destination = f"/amq/queue/{queue}"
        send_confirmed(self.rabbitmq, destination, [(body(n), message_headers(destination)) for n in range(count)])

    def _consumers(self, queue: str) -> int:
        found = self.rabbitmq.count(queue)
        return found.consumers if found else 0


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Start the servers, install the peer, make both databases; all is gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="outbox-bench-") as folder,
        serving(RabbitMQ) as rabbitmq,
        serving(Postgres) as postgres,
    ):
        ours = products.ours(postgres, rabbitmq, Path(folder))
        peer = products.peer(postgres, rabbitmq, Path(folder))
        for product in (ours, peer):
            product.prepare()
        yield Stage(postgres, rabbitmq, ours, peer)
