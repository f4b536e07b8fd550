"""How RabbitMQ reads a STOMP destination and the headers that declare a queue: pure, for the broker in memory.

``memory.py`` asks; the contract suite shows that the answers are RabbitMQ's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a queue is declared with, and what RabbitMQ takes where a header is absent.
_DEFAULTS = {"durable": "true", "auto-delete": "false", "exclusive": "false"}
_ARGUMENTS = (
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-ttl",
    "x-overflow",
    "x-queue-type",
)
_NUMBERS = ("x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority", "x-message-ttl")
_DEFAULT_EXCHANGES = {"amq.topic", "amq.direct", "amq.fanout", "amq.headers"}


class UnknownDestinationError(ValueError):
    """No destination is written like that; the text is what RabbitMQ says."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a destination leads: ``queue`` to the queue of that name, else to an exchange with a routing key.

    ``declares``: a SEND or a SUBSCRIBE there declares the queue.
    """

    queue: str | None = None
    exchange: str = ""
    key: str = ""
    declares: bool = False


def address_of(destination: str) -> Address:
    """Return where a destination leads. Raises ``UnknownDestinationError``."""
    if destination and "/" not in destination:
        return Address(queue=_unescaped(destination), declares=True)
    match destination.split("/"):
        case ["", "queue", name] if name:
            return Address(queue=_unescaped(name), declares=True)
        case ["", "amq", "queue", name] if name:
            return Address(queue=_unescaped(name))
        case ["", "topic", key] if key:
            return Address(exchange="amq.topic", key=_unescaped(key))
        case ["", "exchange", exchange, *rest] if exchange and len(rest) <= 1:
            return Address(exchange=_unescaped(exchange), key=_unescaped(rest[0]) if rest else "")
    raise UnknownDestinationError(f"Unknown destination: '{destination}' is not a valid destination")


def is_known_exchange(name: str) -> bool:
    """Tell whether an exchange is there without anybody having declared it."""
    return name in _DEFAULT_EXCHANGES


def arguments_of(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return what these headers declare a queue with, in one spelling."""
    given = {name: str(value) for name, value in headers.items()}
    flags = {name: given.get(name, default).lower() for name, default in _DEFAULTS.items()}
    return flags | {name: given[name] for name in _ARGUMENTS if name in given}


def invalid(queue: str, arguments: Mapping[str, str]) -> str | None:
    """Return RabbitMQ's complaint about an argument that no queue can have, None when there is none."""
    for name in _NUMBERS:
        if not re.fullmatch("[0-9]+", arguments.get(name, "0")):
            return f"PRECONDITION_FAILED - invalid arg '{name}' for queue '{queue}' in vhost '/'"
    return None


def difference(queue: str, asked: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """Return RabbitMQ's complaint about a queue that exists with other arguments, None when they are the same."""
    for name in sorted({*asked, *there}):
        if asked.get(name) != there.get(name):
            received, current = asked.get(name, "none"), there.get(name, "none")
            return (
                f"PRECONDITION_FAILED - inequivalent arg '{name}' for queue '{queue}' in vhost '/': "
                f"received '{received}' but current is '{current}'"
            )
    return None


def topic_matches(pattern: str, key: str) -> bool:
    """Tell whether a binding takes a routing key: ``*`` is one word, ``#`` any number of them."""
    words = [{"*": r"[^.]*", "#": r".*"}.get(word, re.escape(word)) for word in pattern.split(".")]
    expression = r"\.".join(words)
    # "a.#" also takes "a", and "#.a" takes "a".
    expression = expression.replace(r"\..*", r"(?:\..*)?")
    if expression.startswith(r".*\."):
        expression = r"(?:.*\.)?" + expression.removeprefix(r".*\.")
    return re.fullmatch(expression, key, re.DOTALL) is not None


def _unescaped(name: str) -> str:
    return name.replace("%2F", "/")
