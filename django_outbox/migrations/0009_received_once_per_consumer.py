"""Let two consumers of one service each handle the same message once.

The new constraints stand before the old one falls, so at no moment may a message be recorded twice.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from django_outbox.operations import AddUniqueConstraintOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar = [("django_outbox_pattern", "0008_published_due_idx")]
    operations: ClassVar = [
        AddUniqueConstraintOnline(
            model_name="received",
            constraint=models.UniqueConstraint(fields=("msg_id", "consumer"), name="received_msg_consumer_uniq"),
        ),
        AddUniqueConstraintOnline(
            model_name="received",
            constraint=models.UniqueConstraint(
                condition=models.Q(("consumer__isnull", True)), fields=("msg_id",), name="received_msg_legacy_uniq"
            ),
        ),
        migrations.AlterField(model_name="received", name="msg_id", field=models.CharField(max_length=100, null=True)),
    ]
