"""A database that django-outbox-pattern made, of its first release or its last, becomes ours by ``migrate`` alone."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.peer.peer import APP, UNUSED_BROKER, Peer, everything, fill, installed
from tests.integration.library.publish.publisher import Project
from tests.rig.peers import FIRST, LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Rows = dict[str, list[dict[str, str]]]


@dataclass
class Moved:
    """A database that was the peer's, and what was in it before ``migrate`` and after."""

    peer: Peer
    ours: Project
    before: Rows
    after: Rows


@pytest.fixture(scope="module")
def move(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Moved]]:
    """Move a database of a release on a kind of server; once, for the tests of this module only add to it."""
    name = f"moved_{uuid.uuid4().hex[:12]}"

    @cache
    def moved(release: str, kind: str) -> Moved:
        installed(release)
        folder = tmp_path_factory.mktemp(f"{kind}-{release}")
        database = _entry(request, kind, f"{name}_{release.replace('.', '_')}", folder)
        peer = Peer(release, database, folder)
        ours = Project(SimpleNamespace(django=database), UNUSED_BROKER, folder)  # type: ignore[arg-type]
        peer.migrate()
        fill(peer)
        before = everything(peer)
        ours.manage("migrate", "--verbosity=0")
        return Moved(peer, ours, before, everything(peer))

    return moved


def _entry(request: pytest.FixtureRequest, kind: str, name: str, folder: Path) -> dict[str, Any]:
    """Create an empty database, which goes with its server, and return its entry of DATABASES."""
    if kind == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "database.sqlite3")}
    server = request.getfixturevalue(kind)
    server.create_database(name)
    return dict(server.django(name))


@pytest.fixture(params=["postgres", "mariadb", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of server."""
    return str(request.param)


@pytest.fixture(params=[FIRST, LAST])
def moved(request: pytest.FixtureRequest, kind: str, move: Callable[..., Moved]) -> Moved:
    """A moved database with rows in every state, of each release on each kind of server."""
    return move(request.param, kind)


def test_no_data_is_changed(moved: Moved) -> None:
    assert len(moved.before["published"]) > 10
    assert moved.after == moved.before


NOTHING_TO_MIGRATE = f"""
from django.core.management import call_command
call_command("makemigrations", check=True, dry_run=True)
call_command("migrate", check_unapplied=True, verbosity=0)
call_command("showmigrations", "{APP}")
"""


@pytest.mark.parametrize("app", [APP, "django_outbox"])
def test_nothing_is_left_to_migrate_under_either_name(moved: Moved, app: str) -> None:
    ours = Project(moved.ours.database, moved.ours.broker, moved.ours.folder, app=app)
    printed = ours.python(NOTHING_TO_MIGRATE)
    assert "No changes" in printed
    assert "[X] 0009" in printed
    assert "[ ]" not in printed


READ_BY_OURS = """
from django_outbox import inbox
from django_outbox.models import Published, Received
rows = [Published.objects.get(pk=pk).status for pk in IDS]
seen = [inbox.seen("billing", msg_id) for msg_id in ("one", "bare", "refused", "x" * 100, "unknown")]
print(rows.count(1), rows.count(2), rows.count(-1), seen, inbox.schema_problem())
"""


def test_its_rows_mean_the_same_to_us(moved: Moved) -> None:
    rows = moved.before["published"]
    printed = moved.ours.python(READ_BY_OURS.replace("IDS", str([row["id"] for row in rows]))).split(maxsplit=3)
    assert printed[:3] == [str(sum(row["status"] == "1" for row in rows)), "1", "1"]
    assert printed[3].strip() == "[True, True, True, True, False] None"


WRITE_BY_THE_PEER = """
from django_outbox_pattern.models import Published, Received
[row.save() for row in (*Published.objects.all(), *Received.objects.all())]
Received(msg_id="written afterwards").save()
if KNOWN:
    Published(destination="/topic/afterwards", body={}).save()
print(Published.objects.filter(destination__startswith="/topic/afterwards").count())
"""


def test_the_peer_goes_on_writing_and_reading_afterwards(moved: Moved) -> None:
    # The first release knows no headers, and SQLite alone cannot be told to fill them in.
    known = moved.peer.release != FIRST or "sqlite" not in moved.peer.database["ENGINE"]
    printed = moved.peer.python(WRITE_BY_THE_PEER.replace("KNOWN", str(known)))
    assert printed.split() == [str(int(known))]


RECORD_AGAIN = """
from django.db import IntegrityError
from django_outbox_pattern.models import Received
Received(msg_id="new").save()
for msg_id in ("one", "new"):
    try:
        Received(msg_id=msg_id).save()
    except IntegrityError:
        print("refused")
"""


def test_what_the_peer_records_once_it_cannot_record_again(moved: Moved) -> None:
    assert moved.peer.python(RECORD_AGAIN).split() == ["refused", "refused"]
