"""Remember the id of each received message."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("django_outbox_pattern", "0001_initial")]
    operations: ClassVar = [
        migrations.AddField(
            model_name="received",
            name="msg_id",
            field=models.CharField(max_length=100, null=True),
            preserve_default=False,
        ),
    ]
