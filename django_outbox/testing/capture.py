"""``capture_outbox()``: which messages the code under test wrote.

``models.Published`` tells ``watching.py`` of each new message; what the block's end, or the test, finds in the database
is what counts. So messages that were rolled back are not shown, and it does not matter whether the test commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, overload

from django.db import transaction
from django.db.models.signals import post_save

from django_outbox import watching
from django_outbox.outbox import published_model
from django_outbox.testing.assertions import assert_published, written_message
from django_outbox.testing.messages import WrittenMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from django_outbox.models import Published


class CapturedOutbox(Sequence[WrittenMessage]):
    """The messages that were written, in the order of writing; a sequence of ``WrittenMessage``.

    Each look reads the database again until the block ends.
    """

    def __init__(self) -> None:
        self._noted: dict[UUID, Published] = {}
        self._final: list[WrittenMessage] | None = None

    @overload
    def __getitem__(self, index: int) -> WrittenMessage: ...

    @overload
    def __getitem__(self, index: slice) -> list[WrittenMessage]: ...

    def __getitem__(self, index: int | slice) -> WrittenMessage | list[WrittenMessage]:
        return self._messages()[index]

    def __len__(self) -> int:
        return len(self._messages())

    def __repr__(self) -> str:
        return f"<CapturedOutbox: {self._messages()!r}>"

    def bodies(self, destination: str | None = None) -> list[Any]:
        """Return the bodies, of one destination where that is given."""
        return [message.body for message in self if destination in (None, message.destination)]

    def assert_published(
        self,
        destination: str | None = None,
        *,
        body: Any = None,
        headers: Mapping[str, Any] | None = None,
        count: int | None = None,
        exact: bool = False,
    ) -> list[WrittenMessage]:
        """Assert on these messages, as ``django_outbox.testing.assert_published`` does on all."""
        return assert_published(
            destination, body=body, headers=headers, count=count, exact=exact, messages=self._messages()
        )

    def assert_nothing_published(self, destination: str | None = None) -> None:
        """Assert that no message was written, to one destination where that is given."""
        self.assert_published(destination, count=0)

    def note(self, message: Published) -> None:
        """Remember a message that is about to be written, or has been."""
        self._noted.setdefault(message.pk, message)

    def close(self) -> None:
        """Read the messages for the last time, unless an error has left the transaction unusable."""
        with suppress(transaction.TransactionManagementError):
            self._final = self._messages()

    def _messages(self) -> list[WrittenMessage]:
        if self._final is not None:
            return self._final
        aliases = {using for message in self._noted.values() if (using := message._state.db)}
        written = {pk: row for using in aliases for pk, row in self._read(using).items()}
        return [written[pk] for pk in self._noted if pk in written]

    def _read(self, using: str) -> dict[UUID, WrittenMessage]:
        ids = [pk for pk, message in self._noted.items() if message._state.db == using]
        found: dict[UUID, WrittenMessage] = {}
        # SQLite takes only so many parameters in one statement.
        for start in range(0, len(ids), 500):
            rows = published_model()._base_manager.using(using).filter(pk__in=ids[start : start + 500])
            found |= {row.pk: written_message(row, using) for row in rows}
        return found


@contextmanager
def capture_outbox() -> Iterator[CapturedOutbox]:
    """Collect the messages that are written within the block, by any thread and to any database."""
    with watch_outbox() as captured:
        yield captured
        captured.close()


@contextmanager
def watch_outbox() -> Iterator[CapturedOutbox]:
    """Do the same without a last look at the end, where the database may not be used any more."""
    captured = CapturedOutbox()

    def on_save(instance: Any, created: bool = False, **_kwargs: Any) -> None:
        if created:
            captured.note(instance)

    # A model of the project's own may not tell of its messages; its signals do.
    post_save.connect(on_save, sender=published_model(), weak=False)
    watching.watchers.append(captured.note)
    try:
        yield captured
    finally:
        watching.watchers.remove(captured.note)
        post_save.disconnect(on_save, sender=published_model())
