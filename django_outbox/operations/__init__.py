"""Migration operations for tables in use: nobody waits long for them, and an interrupted run can be repeated.

Indexes and constraints are built concurrently on PostgreSQL, elsewhere in Django's usual way; those must be in a
migration with ``atomic = False``. What needs a table for itself (a new column, a constraint taken over) needs it for a
moment, but to get it must wait for every transaction that uses the table, and whoever comes meanwhile waits behind it.
So it is asked for with a short limit and asked for again later, see ``patience.py``.
"""

from django_outbox.operations.fields import AddFieldOnline, AlterFieldOnline, IndexFieldOnline
from django_outbox.operations.indexes import AddIndexOnline, AddPartialIndexOnline, RemoveIndexOnline
from django_outbox.operations.tables import TakeTables, UseNativeIds, keep_default_in_database
from django_outbox.operations.uniqueness import AddUniqueConstraintOnline

__all__ = [
    "AddFieldOnline",
    "AddIndexOnline",
    "AddPartialIndexOnline",
    "AddUniqueConstraintOnline",
    "AlterFieldOnline",
    "IndexFieldOnline",
    "RemoveIndexOnline",
    "TakeTables",
    "UseNativeIds",
    "keep_default_in_database",
]
