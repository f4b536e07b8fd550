"""Which resources have to be looked at again because a Secret or a ConfigMap has changed."""

from __future__ import annotations

from outbox_operator.api.resource import PUBLISHER, SUBSCRIPTION, Key
from outbox_operator.build.references import ConfigName
from outbox_operator.dependencies import Dependencies, Dependency

ORDERS = Key(PUBLISHER, "shop", "orders")
BILLING = Key(SUBSCRIPTION, "shop", "billing")
ELSEWHERE = Key(PUBLISHER, "other", "orders")
ENV = ConfigName("Secret", "env")
LIMITS = ConfigName("ConfigMap", "limits")


def test_a_secret_that_many_refer_to_is_looked_at_once() -> None:
    dependencies = Dependencies()
    for key in (ORDERS, BILLING, ELSEWHERE):
        dependencies.note(key, {ENV: "1"})
    assert sorted(dependencies.all()) == [Dependency("other", ENV), Dependency("shop", ENV)]


def test_only_those_who_know_another_version_are_outdated() -> None:
    dependencies = Dependencies()
    dependencies.note(ORDERS, {ENV: "1", LIMITS: "7"})
    dependencies.note(BILLING, {ENV: "2"})
    assert list(dependencies.outdated(Dependency("shop", ENV), "2")) == [ORDERS]
    assert list(dependencies.outdated(Dependency("shop", LIMITS), "7")) == []


def test_what_appears_and_what_disappears_is_another_version() -> None:
    dependencies = Dependencies()
    dependencies.note(ORDERS, {ENV: None, LIMITS: "7"})
    assert list(dependencies.outdated(Dependency("shop", ENV), "1")) == [ORDERS]
    assert list(dependencies.outdated(Dependency("shop", LIMITS), None)) == [ORDERS]


def test_what_nobody_refers_to_any_more_is_forgotten() -> None:
    dependencies = Dependencies()
    dependencies.note(ORDERS, {ENV: "1", LIMITS: "7"})
    dependencies.note(ORDERS, {ENV: "1"})
    assert dependencies.all() == (Dependency("shop", ENV),)
    dependencies.note(ORDERS, {})
    assert dependencies.all() == ()
    assert list(dependencies.outdated(Dependency("shop", ENV), "2")) == []
