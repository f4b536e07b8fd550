"""What the orders service of the example takes for an order, and what it answers to everything else."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.shop.orders.validation import InvalidOrderError, NewOrder, parse_limit, parse_order


def errors_of(document: object) -> dict[str, str]:
    """Return what is said about a body that must be refused."""
    with pytest.raises(InvalidOrderError) as refusal:
        parse_order(json.dumps(document).encode())
    return refusal.value.errors


@pytest.mark.parametrize(
    ("amount", "means"),
    [("19.90", "19.90"), (19.9, "19.9"), (20, "20"), ("0.01", "0.01"), ("99999999.99", "99999999.99"), (0.1, "0.1")],
)
def test_an_order_has_a_customer_and_an_amount_given_as_text_or_number(amount: Any, means: str) -> None:
    body = json.dumps({"customer": "Ada", "amount": amount}).encode()
    assert parse_order(body) == NewOrder("Ada", Decimal(means))


def test_space_around_a_customers_name_is_dropped() -> None:
    assert parse_order(b'{"customer": " Ada ", "amount": 1}').customer == "Ada"


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b'"text"', b"null", b"\xff\xfe", b"[" * 16_000, b'{"amount": ' + b"9" * 5_000 + b"}"],
    ids=["empty", "words", "list", "text", "null", "no utf-8", "nested deeply", "number too long"],
)
def test_a_body_that_is_no_json_object_is_refused_with_an_example(body: bytes) -> None:
    with pytest.raises(InvalidOrderError) as refusal:
        parse_order(body)
    assert '{"customer": "Ada"' in refusal.value.errors["body"]


def test_all_faults_are_told_at_once() -> None:
    assert set(errors_of({"costumer": "Ada", "amount": -1})) == {"customer", "costumer", "amount"}


@pytest.mark.parametrize("customer", [None, "", "  ", 7, ["Ada"], "Ada\x00", "A\nda", "\ud800", "x" * 101])
def test_a_customer_that_cannot_be_stored_is_refused(customer: Any) -> None:
    assert set(errors_of({"customer": customer, "amount": "1"})) == {"customer"}


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (None, "is needed"),
        ("much", "is needed"),
        (True, "is needed"),
        ("NaN", "is needed"),
        ("Infinity", "is needed"),
        (0, "between"),
        ("-5", "between"),
        ("100000000", "between"),
        ("1e999999", "between"),
        ("1e-999999", "between"),
        ("1.999", "two decimals"),
    ],
)
def test_an_amount_that_is_no_sum_of_money_is_refused_with_the_reason(amount: Any, words: str) -> None:
    assert words in errors_of({"customer": "Ada", "amount": amount})["amount"]


@given(
    st.dictionaries(
        st.one_of(st.text(), st.sampled_from(["customer", "amount"])),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())),
    )
)
def test_any_json_object_is_either_an_order_that_fits_the_table_or_refused(document: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidOrderError):
        order = parse_order(json.dumps(document).encode())
        assert 1 <= len(order.customer) <= 100
        assert Decimal("0.01") <= order.amount <= Decimal("99999999.99")


@pytest.mark.parametrize(("value", "limit"), [("1", 1), ("50", 50), ("200", 200)])
def test_a_listing_shows_between_1_and_200_orders(value: str, limit: int) -> None:
    assert parse_limit(value) == limit


@pytest.mark.parametrize("value", ["", "0", "201", "-1", "ten", "1.5", "²", "٣", "9" * 5000])
def test_a_limit_out_of_range_is_refused(value: str) -> None:
    assert parse_limit(value) is None
