"""The commands of ``docs/moving.md``, as they are written there, on a database that the last release has filled."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING

from tests.integration.library.peer.peer import UNUSED_BROKER, everything, fill
from tests.integration.library.publish.publisher import Project
from tests.integration.library.worker import REPOSITORY
from tests.rig.peers import LAST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.library.peer.peer import Peer

PAGE = (REPOSITORY / "docs" / "moving.md").read_text()
COMMANDS = [line.partition("#")[0].split() for line in re.findall(r"python manage\.py ([^\n`]+)", PAGE)]
FOUND_SOMETHING = 2


def test_every_command_does_what_the_page_says(make_peer: Callable[..., Peer], tmp_path: Path) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "database.sqlite3")}
    peer = make_peer(LAST, database)
    peer.migrate()
    fill(peer)
    before = everything(peer)
    ours = Project(SimpleNamespace(django=database), UNUSED_BROKER, tmp_path)  # type: ignore[arg-type]
    codes = []
    for command in COMMANDS:
        done = ours.manage(*command, check=False)
        expected = FOUND_SOMETHING if "audit" in command else 0
        assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"
        codes.append(" ".join(command))
    assert len(codes) == 7
    assert codes[-1] == "migrate django_outbox_pattern 0006", "the way back comes last"
    after = everything(peer)
    assert [row["id"] for row in after["published"]] == [row["id"] for row in before["published"]]
    assert {row["status"] for row in after["published"]} == {"1", "2"}, "what had failed waits again"
    peer.python("from django_outbox_pattern.models import Received\nReceived(msg_id='new').save()")
    peer.migrate()
