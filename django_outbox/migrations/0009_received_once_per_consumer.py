"""Let two consumers of one service each handle the same message once.

The new constraints stand before the old one falls, so at no moment may a message be recorded twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db import migrations, models

from django_outbox.operations import AddUniqueConstraintOnline, AlterFieldOnline

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def tell_copies_apart(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Number the further copies of a message in the new column; the first counts for every consumer, as before.

    Nothing kept two workers of the first releases from recording one message each.
    """
    received = apps.get_model("django_outbox_pattern", "Received")
    rows = received.objects.using(schema_editor.connection.alias).filter(consumer__isnull=True, msg_id__isnull=False)
    repeated = rows.order_by().values("msg_id").annotate(copies=models.Count("pk")).filter(copies__gt=1)
    for msg_id in list(repeated.values_list("msg_id", flat=True)):
        keys = list(rows.filter(msg_id=msg_id).order_by("added", "id").values_list("pk", flat=True))
        for number, key in enumerate(keys[1:], start=2):
            received.objects.using(schema_editor.connection.alias).filter(pk=key).update(
                consumer=f"copy {number} of a message without a consumer"
            )


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar = [("django_outbox_pattern", "0008_published_due_idx")]
    operations: ClassVar = [
        migrations.RunPython(tell_copies_apart, migrations.RunPython.noop),
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
        AlterFieldOnline(model_name="received", name="msg_id", field=models.CharField(max_length=100, null=True)),
    ]
