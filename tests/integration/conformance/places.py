"""The places that the product has to work in, a broker and a database each, and how a test says what it shows there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BROKERS = ("rabbitmq", "rabbitmq-quorum", "activemq", "artemis")
DATABASES = ("postgres", "mariadb", "sqlite")


def conformance(
    feature: str, *, says: str | Mapping[str, str] = "yes", brokers: Iterable[str] = BROKERS
) -> pytest.MarkDecorator:
    """Run a test that takes the fixture ``site`` in each place, as the proof of that cell of docs/conformance.md.

    ``says`` is what the cell says when the test passes, or that by broker or by database.
    """
    return pytest.mark.parametrize(
        "site",
        [
            pytest.param(
                f"{broker}-{database}",
                marks=pytest.mark.conformance(feature, broker, database, says=_words(says, broker, database)),
            )
            for broker in brokers
            for database in DATABASES
        ],
        indirect=True,
        scope="session",
    )


def parts(place: str) -> tuple[str, str]:
    """The broker and the database of a place."""
    broker, _, database = place.rpartition("-")
    return broker, database


def _words(says: str | Mapping[str, str], broker: str, database: str) -> str:
    return says if isinstance(says, str) else says.get(broker) or says[database]
