"""The history of the tables is the peer's, and ours follows it."""

from __future__ import annotations

import io

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from django_outbox.models import Published, Received

pytestmark = pytest.mark.django_db

PEERS = [
    "0001_initial",
    "0002_received_msg_id",
    "0003_alter_published_version",
    "0004_auto_20230403_1637",
    "0005_published_headers",
    "0006_published_published_status_27c9ec_btree",
]


def test_the_app_is_known_by_the_label_its_tables_have_always_had() -> None:
    assert apps.get_app_config("django_outbox_pattern").name == "django_outbox"
    assert (Published._meta.db_table, Received._meta.db_table) == ("published", "received")


def test_the_first_six_migrations_have_the_peers_names() -> None:
    loader = MigrationLoader(connection)
    names = sorted(name for app, name in loader.disk_migrations if app == "django_outbox_pattern")
    assert names[:6] == PEERS
    assert len(names) > 6


def test_no_change_of_the_models_is_missing_from_the_migrations() -> None:
    out = io.StringIO()
    call_command("makemigrations", "django_outbox_pattern", check=True, dry_run=True, stdout=out)
    assert "No changes" in out.getvalue()


def test_the_state_after_the_sixth_is_the_peers() -> None:
    state = MigrationLoader(connection).project_state(("django_outbox_pattern", PEERS[-1]))
    published = state.models["django_outbox_pattern", "published"]
    received = state.models["django_outbox_pattern", "received"]
    assert sorted(published.fields) == sorted(
        ["id", "version", "destination", "body", "added", "expires_at", "retry", "status", "headers"]
    )
    assert sorted(received.fields) == sorted(
        ["id", "msg_id", "headers", "body", "added", "expires_at", "retry", "status"]
    )
    assert published.fields["version"].deconstruct()[3] == {"max_length": 100, "null": True}
    assert received.fields["msg_id"].deconstruct()[3] == {
        "db_index": True,
        "max_length": 100,
        "null": True,
        "unique": True,
    }
    assert [index.name for index in published.options["indexes"]] == ["published_status_27c9ec_btree"]
