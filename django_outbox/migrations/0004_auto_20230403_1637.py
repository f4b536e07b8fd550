"""Index both tables by age.

For django-outbox-pattern this made ``msg_id`` unique as well. Its first release let one message be recorded twice, so
that fails on databases in use; and 0009 puts something better in its place. Only the state says so here.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from django_outbox.operations import IndexFieldOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar = [("django_outbox_pattern", "0003_alter_published_version")]
    operations: ClassVar = [
        IndexFieldOnline(
            model_name="published", name="added", field=models.DateTimeField(auto_now_add=True, db_index=True)
        ),
        IndexFieldOnline(
            model_name="received", name="added", field=models.DateTimeField(auto_now_add=True, db_index=True)
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="received",
                    name="msg_id",
                    field=models.CharField(db_index=True, max_length=100, null=True, unique=True),
                ),
            ],
        ),
    ]
