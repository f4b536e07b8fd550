"""Test an application that uses the outbox: what it writes, what arrives, and what its callbacks do, without a broker.

Works in any test that may use the database. The pytest fixtures are in ``plugin.py``; pytest itself is not needed here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_outbox.testing.assertions import assert_published
    from django_outbox.testing.capture import CapturedOutbox, capture_outbox
    from django_outbox.testing.messages import WrittenMessage
    from django_outbox.testing.payloads import FakeConnection, make_payload
    from django_outbox.testing.running import Delivered, Relayed, deliver, run_relay
    from django_outbox.testing.server import MemoryStompServer
    from django_outbox.testing.statements import assert_outbox_statements
    from django_outbox.transport.memory import MemoryBroker, MemoryTransport

__all__ = [
    "CapturedOutbox",
    "Delivered",
    "FakeConnection",
    "MemoryBroker",
    "MemoryStompServer",
    "MemoryTransport",
    "Relayed",
    "WrittenMessage",
    "assert_outbox_statements",
    "assert_published",
    "capture_outbox",
    "deliver",
    "make_payload",
    "run_relay",
]

_HOMES = {
    "CapturedOutbox": "testing.capture",
    "Delivered": "testing.running",
    "FakeConnection": "testing.payloads",
    "MemoryBroker": "transport.memory",
    "MemoryStompServer": "testing.server",
    "MemoryTransport": "transport.memory",
    "Relayed": "testing.running",
    "WrittenMessage": "testing.messages",
    "assert_outbox_statements": "testing.statements",
    "assert_published": "testing.assertions",
    "capture_outbox": "testing.capture",
    "deliver": "testing.running",
    "make_payload": "testing.payloads",
    "run_relay": "testing.running",
}


def __getattr__(name: str) -> Any:
    # On first use: pytest loads this package before Django is set up.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"django_outbox.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
