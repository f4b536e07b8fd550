"""The inbox: which messages a consumer has handled, and the queries for that.

A message is known by its id, a consumer by its queue's name; ``(id, consumer)`` is unique in the table, and the row is
written in the callback's own transaction. That makes a message change the database once, whatever is delivered twice.
Beside workers of django-outbox-pattern, which know no consumers, ``INBOX_PER_QUEUE=False`` leaves the name out.
With the package ``store`` this is the only place with queries.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, connections, router
from django.db.models import Model, Q
from django.utils.module_loading import import_string

from django_outbox import compiled, copying, instances, settings
from django_outbox.choices import StatusChoice
from django_outbox.exceptions import DuplicateMessage
from django_outbox.wellformed import depth_of, is_storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import QuerySet

MAX_ID_LENGTH = 100  # characters, the width of the column

# Ids that the sender chose, the most specific first: they are the same in every delivery of a message.
_SENDERS_IDS = ("cap-msg-id", "dop-msg-id", "amqp-message-id")


def message_identity(headers: Mapping[str, Any]) -> str | None:
    """Return what tells a message from all others in every delivery of it; None when it carries no such thing.

    RabbitMQ's own ``message-id`` is new in each delivery, and other brokers' may start over with their journal: two
    different messages could share one and the second would be swallowed. Only ActiveMQ's, which names its host and
    start time, is good enough.
    """
    for name in _SENDERS_IDS:
        if headers.get(name):
            return _fitting(str(headers[name]))
    brokers_id = str(headers.get("message-id") or "")
    return _fitting(brokers_id) if brokers_id.startswith("ID:") else None


def _fitting(value: str) -> str:
    if len(value) <= MAX_ID_LENGTH:
        return value
    return f"sha256:{hashlib.sha256(value.encode(errors='surrogatepass')).hexdigest()}"


def received_class() -> type[Model]:
    """Return the model of the inbox, as ``DEFAULT_RECEIVED_CLASS`` names it."""
    return _imported(settings.DEFAULT_RECEIVED_CLASS)


@lru_cache(maxsize=8)
def _imported(path: str) -> type[Model]:
    model: type[Model] = import_string(path)
    return model


def database_of(message: Model | type[Model]) -> str:
    """Return the alias of the database that the inbox is written to, and so read from."""
    model = message if isinstance(message, type) else type(message)
    return router.db_for_write(model)


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes the rows of one consumer's messages. Keep it no longer than for a batch: the settings may change."""

    model: type[Model]
    max_depth: int
    given: Mapping[str, Any]

    def new(self, identity: str | None, body: Any, headers: Mapping[str, Any]) -> Model:
        """Return the row of a message, not written yet: ``record`` does that when the callback saves.

        A body that the column cannot hold is left out, as the row is there for its id: what a stranger wrote must not
        keep a callback that can do with it from its work.
        """
        kept = body if is_storable(body, self.max_depth) else None
        return instances.new(self.model, {"msg_id": identity, "body": kept, "headers": dict(headers), **self.given})


def row_maker(consumer: str) -> RowMaker:
    """Return what makes the rows of a consumer's messages, by the settings as they are now."""
    model = received_class()
    given = {"consumer": consumer} if settings.INBOX_PER_QUEUE and _has_consumer(model) else {}
    return RowMaker(model, depth_of(connections[database_of(model)]), given)


def new_row(consumer: str, identity: str | None, body: Any, headers: Mapping[str, Any]) -> Model:
    """Return the row of one message, not written yet."""
    return row_maker(consumer).new(identity, body, headers)


def seen(consumer: str, identity: str | None) -> bool:
    """Tell whether this consumer has handled the message already.

    A row without a consumer counts for every consumer: django-outbox-pattern wrote it, or ``INBOX_PER_QUEUE`` was off.
    While that is off, every row does. A message without an identity is never seen. Raises what the database raises.
    """
    return identity is not None and bool(_handled(consumer, [identity]))


def seen_among(consumer: str, identities: Iterable[str | None]) -> set[str]:
    """Return which of these messages this consumer has handled already: ``seen`` for many, in one statement."""
    return _handled(consumer, sorted({identity for identity in identities if identity is not None}))


def is_written(message: Model) -> bool:
    """Tell whether a row is in the database, as the caller's own transaction sees it."""
    model = type(message)
    return model._default_manager.using(database_of(model)).filter(pk=message.pk).exists()


def record(message: Model) -> None:
    """Write the row in the caller's transaction. Raises ``DuplicateMessage`` when another delivery was quicker.

    That error rolls the caller's transaction back, as nothing of this delivery may take effect.
    """
    model = type(message)
    try:
        if not (compiled.saves_plainly(model) and _is_inserted([message], database_of(model))):
            message.save()
    except IntegrityError as error:
        raise DuplicateMessage(
            f"Message {getattr(message, 'msg_id', None)} was handled by another delivery at the same time. "
            "Let this error pass: the transaction is rolled back and the message acknowledged."
        ) from error


def record_all(messages: Sequence[Model]) -> None:
    """Write the rows of a batch in the caller's transaction, in one statement and without Django's signals.

    Raises ``DuplicateMessage`` when another delivery of one of them was quicker; see ``record``.
    """
    if not messages:
        return
    model = type(messages[0])
    for message in messages:
        message.status = StatusChoice.SUCCEEDED  # type: ignore[attr-defined]
    try:
        if not (_is_copied(messages, database_of(model)) or _is_inserted(messages, database_of(model))):
            model._default_manager.using(database_of(model)).bulk_create(messages)
    except IntegrityError as error:
        raise DuplicateMessage("A message of this batch was handled by another delivery at the same time.") from error


def _is_inserted(messages: Sequence[Model], using: str) -> bool:
    """Insert rows with a statement that is kept; False when only Django's own way can do it."""
    return compiled.has_plain_queries(type(messages[0])) and compiled.insert(messages, using)


def _is_copied(messages: Sequence[Model], using: str) -> bool:
    """Write many rows by COPY; False when they are few, or when they or the database cannot be written to so."""
    model = type(messages[0])
    is_possible = compiled.has_plain_queries(model) and copying.suits(messages, using)
    return is_possible and _takes_copy(model._meta.db_table, using) and copying.copy(messages, using)


@lru_cache(maxsize=16)
def _takes_copy(table: str, using: str) -> bool:
    """Ask PostgreSQL, once, whether row-level security forbids COPY into a table."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT row_security_active(%s::regclass)", [connections[using].ops.quote_name(table)])
        return bool(cursor.fetchone() == (False,))


def schema_problem() -> str | None:
    """Return why the database cannot hold the inbox and what to do, None when it can.

    Raises what the database raises.
    """
    model = received_class()
    using, table = database_of(model), model._meta.db_table
    connection = connections[using]
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return f"The database {using!r} has no table {table!r}. Run: manage.py migrate --database {using}"
        present = {column.name for column in connection.introspection.get_table_description(cursor, table)}
    missing = [field.name for field in model._meta.local_concrete_fields if field.column not in present]
    if missing:
        return (
            f"The table {table!r} of the database {using!r} has no column {', '.join(missing)}. "
            f"Run: manage.py migrate --database {using}"
        )
    return None


def caller_holds_transaction() -> bool:
    """Tell whether whoever called the consumer has a transaction open round it, as a test case has."""
    return connections[database_of(received_class())].in_atomic_block


def _handled(consumer: str, identities: Sequence[str]) -> set[str]:
    """Return which of these the consumer has handled, as the database spells them."""
    if not identities:
        return set()
    model = received_class()
    using = database_of(model)
    only_of = consumer if settings.INBOX_PER_QUEUE and _has_consumer(model) else None
    if not compiled.has_plain_queries(model):
        return set(_rows_of(model, using, only_of, identities).values_list("msg_id", flat=True))
    connection = connections[using]
    # The last one again and again, so that there are few statements to keep.
    size = 1 << (len(identities) - 1).bit_length()
    sql, values = _look_up(model, using, connection.vendor, only_of, size)
    known = [*identities, *[identities[-1]] * (size - len(identities))]
    with connection.cursor() as cursor:
        cursor.execute(sql, [known[value] if isinstance(value, int) else value for value in values])
        return {row[0] for row in cursor.fetchall()}


def _rows_of(model: type[Model], using: str, only_of: str | None, identities: Sequence[str]) -> QuerySet[Model]:
    wanted = Q(msg_id__in=identities)
    if only_of is not None:
        wanted &= Q(consumer=only_of) | Q(consumer__isnull=True)
    return model._default_manager.using(using).filter(wanted)


@lru_cache(maxsize=256)
def _look_up(
    model: type[Model],
    using: str,
    vendor: str,  # noqa: ARG001 - what SQL looks like depends on it
    only_of: str | None,
    size: int,
) -> tuple[str, tuple[str | int, ...]]:
    """Return the statement that asks for so many messages, and its values: a number stands for one of these."""
    marks = [f"\N{REPLACEMENT CHARACTER}{position}" for position in range(size)]
    rows = _rows_of(model, using, only_of, marks).values_list("msg_id", flat=True)
    sql, values = rows.query.get_compiler(using).as_sql()
    positions = {mark: position for position, mark in enumerate(marks)}
    return sql, tuple(positions.get(value, value) for value in values)


@lru_cache(maxsize=8)
def _has_consumer(model: type[Model]) -> bool:
    """Tell whether the model knows consumers; one a project wrote for django-outbox-pattern does not."""
    try:
        model._meta.get_field("consumer")
    except FieldDoesNotExist:
        return False
    return True
