# For type checkers: every module of the old name exists; import from django_outbox to have its types.
from typing import Any

def __getattr__(name: str) -> Any: ...
