"""A database that django-outbox-pattern made, of its first release or its last, becomes ours by ``migrate`` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.peer.peer import APP, Peer, everything, fill
from tests.integration.library.publish.publisher import Project
from tests.rig.peers import FIRST, LAST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.parametrize("release", [FIRST, LAST])


@pytest.fixture
def used(release: str, make_peer: Callable[..., Peer], any_database: dict[str, Any]) -> Peer:
    """A database with rows in every state, on each kind of server."""
    peer = make_peer(release, any_database)
    peer.migrate()
    fill(peer)
    return peer


@pytest.fixture
def ours(used: Peer, tmp_path: Path, unused_broker: Any) -> Project:
    """Our project on that database."""
    return Project(_Named(used.database), unused_broker, tmp_path)


class _Named:
    def __init__(self, django: dict[str, Any]) -> None:
        self.django = django


def test_no_data_is_changed_and_nothing_is_left_to_migrate(used: Peer, ours: Project) -> None:
    before = everything(used)
    assert len(before["published"]) > 10
    ours.manage("migrate", "--verbosity=0")
    assert everything(used) == before
    for ours.app in (APP, "django_outbox"):
        assert "No changes" in ours.manage("makemigrations", "--check", "--dry-run").stdout
        assert "[ ]" not in ours.manage("showmigrations", APP).stdout


READ_BY_OURS = """
from django_outbox import inbox
from django_outbox.models import Published, Received
states = sorted(Published.objects.values_list("status", flat=True))
seen = [inbox.seen("billing", msg_id) for msg_id in ("one", "bare", "refused", "x" * 100, "unknown")]
print(states.count(1), states.count(2), states.count(-1), seen, inbox.schema_problem())
"""


def test_its_rows_mean_the_same_to_us(used: Peer, ours: Project) -> None:
    ours.manage("migrate", "--verbosity=0")
    waiting = sum(row["status"] == "1" for row in everything(used)["published"])
    printed = ours.python(READ_BY_OURS).split(maxsplit=3)
    assert printed[:3] == [str(waiting), "1", "1"]
    assert printed[3].strip() == "[True, True, True, True, False] None"


def test_the_peer_goes_on_writing_and_reading_afterwards(used: Peer, ours: Project) -> None:
    ours.manage("migrate", "--verbosity=0")
    before = everything(used)
    fresh = "from django_outbox_pattern.models import Published, Received\n"
    used.python(fresh + "[row.save() for row in (*Published.objects.all(), *Received.objects.all())]")
    used.python(fresh + "Received(msg_id='new').save()")
    if used.release != FIRST or "sqlite" not in used.database["ENGINE"]:
        # The first release knows no headers, and SQLite alone cannot be told to fill them in.
        used.python(fresh + "Published(destination='/topic/old.6', body={}).save()")
        assert len(everything(used)["published"]) == len(before["published"]) + 1
    assert len(everything(used)["received"]) == len(before["received"]) + 1


def test_what_the_peer_records_once_it_cannot_record_again(used: Peer, ours: Project) -> None:
    ours.manage("migrate", "--verbosity=0")
    used.python("from django_outbox_pattern.models import Received\nReceived(msg_id='new').save()")
    again = (
        "from django.db import IntegrityError\n"
        "from django_outbox_pattern.models import Received\n"
        "for msg_id in ('one', 'new'):\n"
        "    try:\n"
        "        Received(msg_id=msg_id).save()\n"
        "    except IntegrityError:\n"
        "        print('refused')\n"
    )
    assert used.python(again).split() == ["refused", "refused"]
