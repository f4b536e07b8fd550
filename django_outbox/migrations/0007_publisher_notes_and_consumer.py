"""Give the publisher room for its notes and the inbox the name of the consumer.

Every new column may be null: adding it rewrites no table, and workers of django-outbox-pattern go on inserting.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

import django_outbox.ids
from django_outbox.operations import AddFieldOnline, TakeTables, UseNativeIds

ID_HELP = "Sorts by the time the row was made; older rows have random ids"


def _time_ordered_key() -> models.UUIDField[object, object]:
    return models.UUIDField(
        default=django_outbox.ids.uuid7,
        editable=False,
        help_text=ID_HELP,
        primary_key=True,
        serialize=False,
        unique=True,
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("django_outbox_pattern", "0006_published_published_status_27c9ec_btree")]
    operations: ClassVar = [
        TakeTables("published", "received"),
        UseNativeIds("published", "received"),
        AddFieldOnline(
            model_name="published",
            name="next_attempt_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        AddFieldOnline(
            model_name="published",
            name="claim_token",
            field=models.UUIDField(blank=True, editable=False, null=True),
        ),
        AddFieldOnline(
            model_name="published",
            name="claimed_until",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        AddFieldOnline(
            model_name="published", name="last_error", field=models.TextField(blank=True, editable=False, null=True)
        ),
        AddFieldOnline(
            model_name="received",
            name="consumer",
            field=models.CharField(editable=False, max_length=255, null=True),
        ),
        # What only Python sees: no statement is needed.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(model_name="published", name="id", field=_time_ordered_key()),
                migrations.AlterField(model_name="received", name="id", field=_time_ordered_key()),
                migrations.AlterField(
                    model_name="published",
                    name="version",
                    field=models.CharField(blank=True, max_length=100, null=True),
                ),
                migrations.AlterField(
                    model_name="published", name="headers", field=models.JSONField(blank=True, default=dict)
                ),
            ],
        ),
    ]
