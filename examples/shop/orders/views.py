"""The HTTP side of the orders service: place an order, list the newest, say whether we live."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET, require_http_methods

from orders.models import Order
from orders.validation import BIGGEST_PAGE, InvalidOrderError, parse_limit, parse_order


@require_http_methods(["GET", "POST"])
def orders(request: HttpRequest) -> JsonResponse:
    """Answer `/orders`: POST places an order (201), GET lists the newest."""
    return _place(request) if request.method == "POST" else _list(request)


@require_GET
def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers us, else 503."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "the database does not answer"}, status=503)
    return JsonResponse({"status": "ok"})


def _place(request: HttpRequest) -> JsonResponse:
    try:
        wanted = parse_order(request.body)
    except RequestDataTooBig:
        return JsonResponse({"errors": {"body": "is larger than an order can be"}}, status=413)
    except InvalidOrderError as invalid:
        return JsonResponse({"errors": invalid.errors}, status=400)
    # The decorator on the model writes the event in the same transaction; nothing about events is needed here.
    order = Order.objects.create(customer=wanted.customer, amount=wanted.amount)
    return JsonResponse(_as_json(order), status=201)


def _list(request: HttpRequest) -> JsonResponse:
    limit = parse_limit(request.GET.get("limit", "50"))
    if limit is None:
        return JsonResponse({"errors": {"limit": f"must be a number from 1 to {BIGGEST_PAGE}"}}, status=400)
    newest = Order.objects.order_by("-id")[:limit]
    return JsonResponse({"count": Order.objects.count(), "orders": [_as_json(order) for order in newest]})


def _as_json(order: Order) -> dict[str, Any]:
    return {
        "id": order.pk,
        "customer": order.customer,
        "amount": str(order.amount),
        "placed_at": order.placed_at.isoformat(),
    }
