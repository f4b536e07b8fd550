"""Give messages a key: those of one key are sent in order. Adding a column that may be null rewrites no table."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from django_outbox.operations import AddFieldOnline


class Migration(migrations.Migration):
    dependencies: ClassVar = [("django_outbox_pattern", "0009_received_once_per_consumer")]
    operations: ClassVar = [
        AddFieldOnline(
            model_name="published",
            name="key",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
    ]
