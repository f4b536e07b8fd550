"""A server that does not come up is tried once more, and nothing of it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.rig.hostservices import serving
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from pathlib import Path


class _Server:
    """Starts as often as its class says that it fails, then runs."""

    fails: ClassVar[int] = 0
    made: ClassVar[list[_Server]] = []

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = "made"
        self.made.append(self)

    def start(self) -> None:
        self.directory.mkdir()
        if len(self.made) <= self.fails:
            raise RigError("address already in use")
        self.state = "started"

    def kill(self) -> None:
        self.state = "ended"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Server, "made", [])


def test_a_server_whose_port_was_taken_meanwhile_is_started_once_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_Server, "fails", 1)
    with serving(_Server) as server:
        first, second = _Server.made
        assert server is second
        assert (first.state, first.directory.exists(), second.state) == ("ended", False, "started")
    assert second.state == "ended"
    assert "address already in use" in capsys.readouterr().out


def test_a_server_that_cannot_start_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Server, "fails", 5)
    with pytest.raises(RigError, match="address"), serving(_Server):
        pytest.fail("it does not run")
    assert [server.state for server in _Server.made] == ["ended", "ended"]


def test_what_goes_wrong_while_it_runs_starts_nothing() -> None:
    with pytest.raises(RigError, match="the test's own"), serving(_Server):
        raise RigError("the test's own")
    assert len(_Server.made) == 1
