"""The invoices table."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create Invoice."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("order_id", models.BigIntegerField(db_index=True)),
                ("customer", models.CharField(max_length=100)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
                ("written_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
