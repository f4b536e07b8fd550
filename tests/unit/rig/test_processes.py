"""The rig ends what it started and nothing else, and its waits explain themselves."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.rig.process import Daemon, run, start_time
from tests.rig.rundirs import run_directory
from tests.rig.waiting import MissingProgramError, RigError, RigTimeoutError, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEPER = [sys.executable, "-c", "print('started', flush=True); import signal; signal.pause()"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    found = Daemon("sleeper", SLEEPER, tmp_path)
    yield found
    found.stop()


def test_a_started_program_is_known_by_its_pid_file_alone(daemon: Daemon) -> None:
    daemon.start()
    assert Daemon("sleeper", [], daemon.directory).pid == daemon.pid
    assert daemon.pid is not None


def test_starting_twice_keeps_the_first_program(daemon: Daemon) -> None:
    daemon.start()
    first = daemon.pid
    daemon.start()
    assert daemon.pid == first


def test_a_stopped_program_is_gone(daemon: Daemon) -> None:
    daemon.start()
    pid = daemon.pid or 0
    daemon.stop()
    assert start_time(pid) is None
    assert daemon.pid is None


def test_a_pid_that_now_belongs_to_another_program_is_not_touched(daemon: Daemon) -> None:
    daemon.directory.mkdir(exist_ok=True)
    daemon.pid_file.write_text(f"{os.getpid()} 1\n")
    daemon.stop()
    assert start_time(os.getpid()) is not None


def test_a_program_that_ends_while_it_is_awaited_is_told_with_its_log(tmp_path: Path) -> None:
    daemon = Daemon("failing", [sys.executable, "-c", "import sys; sys.exit('no such option')"], tmp_path)
    daemon.start()
    with pytest.raises(RigError, match=r"failing ended before ready(.|\n)*no such option"):
        daemon.wait_ready("ready", lambda: False, seconds=30)


def test_a_run_directory_is_removed_with_its_programs(tmp_path: Path) -> None:
    with run_directory(tmp_path / "runs") as directory:
        daemon = Daemon("sleeper", SLEEPER, directory / "part")
        daemon.start()
        pid = daemon.pid or 0
    assert start_time(pid) is None
    assert not directory.exists()


def test_a_run_directory_of_a_crashed_run_is_swept_by_the_next(tmp_path: Path) -> None:
    crashed = tmp_path / "runs" / "run-crashed"
    daemon = Daemon("sleeper", SLEEPER, crashed / "part")
    daemon.start()
    pid = daemon.pid or 0
    (crashed / "owner").write_text("999999999 1")
    with run_directory(tmp_path / "runs"):
        assert start_time(pid) is None
        assert not crashed.exists()


def test_a_passed_deadline_names_the_condition_and_the_state() -> None:
    with pytest.raises(RigTimeoutError, match=r"the door opens: not so after 0.01 s\nthe door is shut"):
        wait_until("the door opens", lambda: False, seconds=0.01, state=lambda: "the door is shut", every=0.01)


def test_a_refused_connection_means_not_yet() -> None:
    answers = iter([ConnectionRefusedError("refused"), "open"])

    def condition() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return str(answer)

    assert wait_until("open", condition, seconds=5, every=0.01) == "open"


def test_a_failed_program_is_told_with_what_it_printed() -> None:
    with pytest.raises(RigError, match=r"failed with 1:\nwhy not"):
        run([sys.executable, "-c", "import sys; sys.exit('why not')"])


def test_a_missing_program_is_told_by_name() -> None:
    with pytest.raises(MissingProgramError, match="no-such-program is not installed"):
        run(["no-such-program"])
