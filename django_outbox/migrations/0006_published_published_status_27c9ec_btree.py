"""Index the outbox by state."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from django_outbox.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar = [("django_outbox_pattern", "0005_published_headers")]
    operations: ClassVar = [
        AddIndexOnline(
            model_name="published", index=models.Index(fields=["status"], name="published_status_27c9ec_btree")
        ),
    ]
