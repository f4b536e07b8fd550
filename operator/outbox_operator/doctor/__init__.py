"""`outbox-operator doctor`: whether the operator can do its work here, and what to do if not. Only reads and asks."""
