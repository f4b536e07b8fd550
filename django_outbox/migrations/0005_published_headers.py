"""Keep a message's headers with it; writers that do not know the column yet leave it to the database."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from django_outbox.operations import AddFieldOnline, keep_default_in_database


class Migration(migrations.Migration):
    dependencies: ClassVar = [("django_outbox_pattern", "0004_auto_20230403_1637")]
    operations: ClassVar = [
        AddFieldOnline(model_name="published", name="headers", field=models.JSONField(default=dict)),
        migrations.RunPython(keep_default_in_database("published", "headers"), migrations.RunPython.noop, atomic=False),
    ]
