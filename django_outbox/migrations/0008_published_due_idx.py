"""Index what waits to be sent, in the order it is sent in; concurrently where the database can."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from django_outbox.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar = [("django_outbox_pattern", "0007_publisher_notes_and_consumer")]
    operations: ClassVar = [
        AddIndexOnline(
            model_name="published",
            index=models.Index(condition=models.Q(("status", 1)), fields=["added"], name="published_due_idx"),
        ),
    ]
