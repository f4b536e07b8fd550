"""How the example's services read where their database and broker are."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from examples.shop.common import environment


def test_a_postgresql_url_becomes_djangos_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://bill%40shop:s%3Acret@db.example:6432/billing")
    database = environment.database()
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert [database[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")] == [
        "bill@shop",
        "s:cret",
        "db.example",
        "6432",
        "billing",
    ]


def test_a_sqlite_url_names_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///orders.sqlite3")
    assert environment.database() == {"ENGINE": "django.db.backends.sqlite3", "NAME": "orders.sqlite3"}


@pytest.mark.parametrize("url", ["", "orders", "mysql://h/d", "postgresql://orders:hunter2@/orders", "postgresql://h"])
def test_an_unusable_url_is_refused_with_an_example_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ImproperlyConfigured, match="postgresql://orders") as refusal:
        environment.database()
    assert "hunter2" not in str(refusal.value)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        environment.text("SECRET_KEY")


def test_a_broker_port_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PORT", "stomp")
    with pytest.raises(ImproperlyConfigured, match="61613"):
        environment.outbox()
