"""Make the version optional."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from django_outbox.operations import AlterFieldOnline


class Migration(migrations.Migration):
    dependencies: ClassVar = [("django_outbox_pattern", "0002_received_msg_id")]
    operations: ClassVar = [
        AlterFieldOnline(model_name="published", name="version", field=models.CharField(max_length=100, null=True)),
    ]
