"""Keep a message's headers with it."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("django_outbox_pattern", "0004_auto_20230403_1637")]
    operations: ClassVar = [
        migrations.AddField(model_name="published", name="headers", field=models.JSONField(default=dict)),
    ]
