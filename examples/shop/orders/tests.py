"""The orders service over HTTP: `manage.py test orders`."""

from __future__ import annotations

import json
from io import StringIO

from django.core.management import CommandError, call_command
from django.test import TestCase

from django_outbox.models import Published
from orders.models import DESTINATION, Order


class PlacingOrders(TestCase):
    """POST /orders."""

    def test_a_valid_order_is_stored_together_with_its_event(self) -> None:
        """201, one order, one row in the outbox."""
        answer = self.client.post("/orders", '{"customer": "Ada", "amount": "19.90"}', content_type="application/json")
        assert answer.status_code == 201
        order = Order.objects.get()
        assert answer.json()["id"] == order.pk
        event = Published.objects.get()
        assert event.destination == DESTINATION
        assert event.body == {"id": order.pk, "customer": "Ada", "amount": "19.90"}

    def test_an_invalid_order_is_refused_and_leaves_neither_order_nor_event(self) -> None:
        """400 with the fault by field."""
        answer = self.client.post("/orders", '{"customer": "Ada"}', content_type="application/json")
        assert answer.status_code == 400
        assert "amount" in answer.json()["errors"]
        assert not Order.objects.exists()
        assert not Published.objects.exists()

    def test_a_body_too_large_is_refused(self) -> None:
        """413."""
        answer = self.client.post("/orders", "x" * 20_000, content_type="application/json")
        assert answer.status_code == 413

    def test_other_methods_are_refused(self) -> None:
        """405."""
        assert self.client.delete("/orders").status_code == 405


class ListingOrders(TestCase):
    """GET /orders."""

    def test_the_newest_orders_come_first(self) -> None:
        """Count of all, and the newest."""
        call_command("place_orders", "3", stdout=StringIO())
        listing = self.client.get("/orders?limit=2").json()
        assert listing["count"] == 3
        newest = list(Order.objects.order_by("-id").values_list("id", flat=True)[:2])
        assert [order["id"] for order in listing["orders"]] == newest

    def test_a_limit_out_of_range_is_refused(self) -> None:
        """400."""
        assert self.client.get("/orders?limit=0").status_code == 400


class Commands(TestCase):
    """The commands of the service."""

    def test_placed_orders_are_reported_from_a_given_id_on(self) -> None:
        """The demo tells its own orders from those of an earlier run by the id they start after."""
        out = StringIO()
        call_command("place_orders", "5", stdout=out)
        placed = json.loads(out.getvalue())
        out = StringIO()
        call_command("report", "--after", str(placed["first_id"]), stdout=out)
        report = json.loads(out.getvalue())
        assert (report["orders"], report["scheduled"], report["published"]) == (4, 4, 0)

    def test_a_number_of_orders_that_makes_no_sense_is_refused(self) -> None:
        """A usage error."""
        for count in ("0", "-3", "many", "100001"):
            with self.assertRaises(CommandError):  # noqa: PT027 - a Django test runs without pytest
                call_command("place_orders", count)


class Health(TestCase):
    """GET /healthz."""

    def test_it_answers_while_the_database_does(self) -> None:
        """200."""
        assert self.client.get("/healthz").status_code == 200
