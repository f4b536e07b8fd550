"""Picks the parser of a kind. Used by `observe`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from outbox_operator.api.marks import is_paused
from outbox_operator.api.publisher import parse_publisher
from outbox_operator.api.resource import PUBLISHER, Kind, Resource
from outbox_operator.api.subscription import parse_subscription

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse(kind: Kind, obj: Mapping[str, Any]) -> Resource:
    """Read a resource of the given kind."""
    resource = parse_publisher(obj) if kind is PUBLISHER else parse_subscription(obj)
    return replace(resource, paused=is_paused(obj))
