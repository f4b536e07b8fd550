"""The command line of ``subscribe``: what it takes, and what it refuses before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_outbox.consumers import Consumer

if TYPE_CHECKING:
    from django_outbox.subscription import Subscription

pytestmark = pytest.mark.django_db(transaction=True)

CALLBACK = "tests.django_project.callbacks.save"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Subscription]:
    """What the command would have run."""
    ran: list[Subscription] = []

    def run(_self: Consumer, subscription: Subscription, *_arguments: Any) -> int:
        ran.append(subscription)
        return 0

    monkeypatch.setattr(Consumer, "run", run)
    return ran


def test_the_command_runs_what_it_was_given(ran: list[Subscription]) -> None:
    call_command("subscribe", CALLBACK, "/topic/orders.v1", "billing", "--prefetch=20", "--concurrency=4")
    assert (ran[0].callback_name, ran[0].destination, ran[0].queue) == (CALLBACK, "/topic/orders.v1", "billing")
    assert (ran[0].effective_prefetch, ran[0].concurrency) == (20, 4)


def test_the_queue_and_the_flags_may_be_left_out(ran: list[Subscription]) -> None:
    call_command("subscribe", CALLBACK, "/topic/orders.v1")
    assert (ran[0].queue, ran[0].effective_prefetch, ran[0].concurrency) == ("orders.v1", 1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.such.callback", "/topic/x"], "Could not import 'no.such.callback'. There is no module 'no'."),
        ([CALLBACK, "/topic/"], "Name the queue"),
        ([CALLBACK, "/topic/x", "--prefetch=0"], "0 is not above 0"),
        ([CALLBACK, "/topic/x", "--prefetch=many"], "'many' is not a whole number"),
        ([CALLBACK, "/topic/x", "--concurrency=-1"], "-1 is not above 0"),
        ([CALLBACK, "/topic/x", "--metrics-port=70000"], "70000 is not a port"),
        ([CALLBACK], "destination"),
        ([], "callback"),
    ],
)
def test_what_cannot_work_is_refused(ran: list[Subscription], arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError) as raised:
        call_command("subscribe", *arguments)
    assert words in str(raised.value)
    assert ran == []


@pytest.mark.parametrize(
    "project",
    [
        {"CONSUMER_CONCURRENCY": 0},
        {"DEFAULT_RECEIVED_CLASS": "no.such.Model"},
        {"DEFAULT_CONSUMER_LISTENER_CLASS": "no.such.Listener"},
        {"DEFAULT_STOMP_HOST_AND_PORTS": "localhost"},
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(ran: list[Subscription], project: dict[str, Any]) -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN=project), pytest.raises(CommandError) as raised:
        call_command("subscribe", CALLBACK, "/topic/x")
    assert next(iter(project)) in str(raised.value)
    assert ran == []


def test_an_exit_code_other_than_0_reaches_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consumer, "run", lambda *_arguments: 2)
    with pytest.raises(SystemExit) as raised:
        call_command("subscribe", CALLBACK, "/topic/x")
    assert raised.value.code == 2
