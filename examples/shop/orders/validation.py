"""Decide whether a request body is an order, and say everything that is wrong with it if not.

Pure: no database, no request. The view turns `InvalidOrderError` into a 400.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

FIELDS = ("customer", "amount")
LONGEST_CUSTOMER = 100  # characters, as in the model
LARGEST_AMOUNT = Decimal("99999999.99")  # 10 digits, 2 of them decimals, as in the model
CENT = Decimal("0.01")
BIGGEST_PAGE = 200


class InvalidOrderError(ValueError):
    """The body is not an order; `errors` maps a field (or `body`) to a sentence about it."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {error}" for field, error in errors.items()))
        self.errors = errors


@dataclass(frozen=True)
class NewOrder:
    """An order as a customer asked for it, checked."""

    customer: str
    amount: Decimal


def parse_order(body: bytes) -> NewOrder:
    """Return the order that a JSON body holds; raise InvalidOrderError with every fault found."""
    document = _parse_json(body)
    errors: dict[str, str] = {}
    for name in document:
        if name not in FIELDS:
            errors[name if name.isprintable() else repr(name)] = f"is not a field of an order; use {', '.join(FIELDS)}"
    customer = _check_customer(document.get("customer"), errors)
    amount = _check_amount(document.get("amount"), errors)
    if errors:
        raise InvalidOrderError(errors)
    return NewOrder(customer, amount)


def parse_limit(value: str) -> int | None:
    """Return how many orders a listing shows, or None when the value is no number from 1 to 200."""
    if not (value.isascii() and value.isdecimal() and len(value) <= 3):
        return None
    limit = int(value)
    return limit if 1 <= limit <= BIGGEST_PAGE else None


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        # Amounts are money: through a float, 0.1 would not stay 0.1.
        document = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidOrderError(
            {"body": 'is not a JSON object; send for example {"customer": "Ada", "amount": "19.90"}'}
        )
    return document


def _check_customer(value: object, errors: dict[str, str]) -> str:
    if not isinstance(value, str) or not value.strip():
        errors["customer"] = "is needed: the customer's name as text"
        return ""
    # Neither control characters nor half a surrogate pair can be stored.
    if not value.isprintable():
        errors["customer"] = "holds characters that cannot be printed"
    elif len(value) > LONGEST_CUSTOMER:
        errors["customer"] = f"has {len(value)} characters; at most {LONGEST_CUSTOMER} fit"
    return value.strip()


def _check_amount(value: object, errors: dict[str, str]) -> Decimal:
    amount = _to_decimal(value)
    if amount is None:
        errors["amount"] = 'is needed: a sum of money such as "19.90"'
        return CENT
    if not CENT <= amount <= LARGEST_AMOUNT:
        errors["amount"] = f"must lie between {CENT} and {LARGEST_AMOUNT}"
    elif amount != amount.quantize(CENT):
        errors["amount"] = "has more than two decimals"
    return amount


def _to_decimal(value: object) -> Decimal | None:
    """Return the finite number that a JSON number or text means, or None; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
