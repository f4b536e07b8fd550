"""Index apart what waits without a key, with one, and after a failure; and what stands before a row in its key.

The new indexes stand before the one that they replace falls; concurrently where the database can.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from django_outbox.operations import AddIndexOnline, AddPartialIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar = [("django_outbox_pattern", "0010_published_key")]
    operations: ClassVar = [
        AddPartialIndexOnline(
            model_name="published",
            index=models.Index(
                condition=models.Q(("key__isnull", True), ("status", 1)),
                fields=["added"],
                name="published_unkeyed_due_idx",
            ),
        ),
        AddPartialIndexOnline(
            model_name="published",
            index=models.Index(
                condition=models.Q(("key__isnull", False), ("status", 1)),
                fields=["added"],
                name="published_keyed_due_idx",
            ),
        ),
        AddPartialIndexOnline(
            model_name="published",
            index=models.Index(
                condition=models.Q(("retry__gt", 0), ("status", 1)),
                fields=["added"],
                name="published_troubled_idx",
            ),
        ),
        AddIndexOnline(
            model_name="published",
            index=models.Index(
                condition=models.Q(("key__isnull", False), ("status__lt", 2)),
                fields=["key", "status", "added"],
                name="published_key_idx",
            ),
        ),
        RemoveIndexOnline(model_name="published", name="published_due_idx"),
    ]
