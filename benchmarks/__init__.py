"""How fast this is, beside django-outbox-pattern and beside what broker and database can do; see README.md here."""
