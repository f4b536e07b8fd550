"""Both tables in Django's admin: to look at, and to send again or park what is in the outbox.

Nothing is added or edited here, and no page asks for more than a table's indexes can answer: see ``pages.py`` for how
lists are counted and ``looking.py`` for how they are searched.
"""

from __future__ import annotations

from django_outbox.admin.inbox import ReceivedAdmin
from django_outbox.admin.outbox import PublishedAdmin

__all__ = ["PublishedAdmin", "ReceivedAdmin"]
