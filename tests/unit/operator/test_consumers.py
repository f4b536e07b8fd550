"""Who keeps a queue that two Subscriptions claim."""

from __future__ import annotations

from typing import Any

from outbox_operator.api.resource import SUBSCRIPTION, Key
from outbox_operator.consumers import Consumers

OLD, YOUNG = (Key(SUBSCRIPTION, "shop", name) for name in ("old", "young"))


def obj(created: int, callback: str = "a.b", queue: str = "q", **annotations: str) -> dict[str, Any]:
    time = f"2026-01-01T00:00:0{created}Z"
    metadata = {"creationTimestamp": time, "annotations": annotations}
    return {"metadata": metadata, "spec": {"queue": queue, "callback": callback}}


def two(**young: Any) -> Consumers:
    found = Consumers()
    found.update(OLD, obj(1))
    found.update(YOUNG, {**obj(2, "a.other"), **young})
    return found


def test_the_older_one_keeps_the_queue() -> None:
    assert (two().rival(YOUNG), two().rival(OLD)) == ("old", None)


def test_the_same_callback_or_another_queue_or_namespace_is_no_conflict() -> None:
    assert two(**obj(2)).rival(YOUNG) is None
    assert two(**obj(2, "a.other", "q2")).rival(YOUNG) is None
    elsewhere, found = Key(SUBSCRIPTION, "other", "young"), two(**obj(2))
    found.update(elsewhere, obj(3, "a.other"))
    assert found.rival(elsewhere) is None


def test_sharing_can_be_allowed() -> None:
    assert two(**obj(2, "a.other", **{"djangooutbox.io/shared-queue": "Allowed"})).rival(YOUNG) is None


def test_whoever_is_concerned_by_a_change_is_named() -> None:
    found = two()
    assert found.update(OLD, obj(1)) == frozenset()
    assert found.update(OLD, obj(1, queue="other")) == {YOUNG}
    assert found.rival(YOUNG) is None
    assert found.update(OLD, obj(1)) == {YOUNG}
    assert found.update(OLD, None) == {YOUNG}
    assert found.rival(YOUNG) is None


def test_an_object_without_a_readable_spec_claims_nothing() -> None:
    found = two()
    assert found.update(OLD, {"metadata": {}, "spec": {"queue": ["q"]}}) == {YOUNG}
    assert found.rival(YOUNG) is None
