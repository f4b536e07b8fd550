"""Create both tables as the first release of django-outbox-pattern had them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import migrations, models

import django_outbox.models

STATUSES = [(-1, "Failed"), (1, "Schedule"), (2, "Succeeded")]


def _columns_of_both(status: int) -> list[tuple[str, models.Field[object, object]]]:
    return [
        ("body", models.JSONField(null=status == 2)),
        ("added", models.DateTimeField(auto_now_add=True)),
        ("expires_at", models.DateTimeField(default=django_outbox.models._one_more_day)),
        ("retry", models.PositiveIntegerField(default=0)),
        ("status", models.IntegerField(choices=STATUSES, default=status)),
    ]


def _key() -> tuple[str, models.Field[object, object]]:
    help_text = "Id not sequential using UUID Field"
    return "id", models.UUIDField(
        default=uuid.uuid4, editable=False, help_text=help_text, primary_key=True, serialize=False, unique=True
    )


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Published",
            fields=[
                _key(),
                ("version", models.CharField(default="v1", max_length=100)),
                ("destination", models.CharField(max_length=255)),
                *_columns_of_both(status=1),
            ],
            options={"verbose_name": "published", "db_table": "published"},
        ),
        migrations.CreateModel(
            name="Received",
            fields=[_key(), ("headers", models.JSONField(null=True)), *_columns_of_both(status=2)],
            options={"verbose_name": "received", "db_table": "received"},
        ),
    ]
