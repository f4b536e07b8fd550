"""A callback that has run in a transaction which it shares, and what is known of it before that is committed.

``groups.py`` makes one for each message of a group.
"""

from __future__ import annotations

from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_outbox.processing import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_outbox.payloads import GroupPayload
    from django_outbox.processing import Job


@dataclass
class Trial:
    """One message of a group: what its callback raised, then what its hooks did."""

    job: Job
    payload: GroupPayload
    error: Exception | SystemExit | None = None
    again: bool = False
    """Whether it is to be handled once more, alone."""
    kept: bool = False
    """Whether its save has survived so far."""
    hook_failed: bool = False

    @property
    def is_to_be_recorded(self) -> bool:
        """Tell whether the inbox row is still to be written."""
        return self.kept and self.payload.deferred

    @property
    def outcome(self) -> Outcome:
        """What it will come to if the transaction commits; for the trace."""
        if self.payload.nacked:
            return Outcome.NACK
        return Outcome.ACK if self.error is None and (self.kept or self.payload.acked) else Outcome.ERROR

    def take_hooks(self, connection: BaseDatabaseWrapper, first: int) -> None:
        """Make the hooks that its callback left this message's: one that fails fails nobody else, nor their hooks."""
        hooks: list[Any] = connection.run_on_commit
        for position in range(first, len(hooks)):
            savepoints, hook, robust = hooks[position]
            if self.payload.is_told_by(hook):
                self.kept = True
            else:
                hooks[position] = (savepoints, self._guarded(hook, robust), robust)

    def _guarded(self, hook: Callable[[], Any], robust: bool) -> Callable[[], None]:
        """Return a hook that runs as if its message were alone: in its context, and not after one that failed."""
        context = copy_context()

        def run() -> None:
            if self.hook_failed:
                return
            try:
                context.run(hook)
            except (Exception, SystemExit) as error:
                if robust and isinstance(error, Exception):
                    raise  # Django logs it and goes on.
                self.hook_failed = True
                self.error = self.error or error

        return run
