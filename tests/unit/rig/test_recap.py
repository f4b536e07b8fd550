"""What is said at the end of a long run about the tests that failed in it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.recap import LINES, recap

if TYPE_CHECKING:
    from pathlib import Path

FAILING = """
import pytest

@pytest.fixture
def broken():
    raise OSError("no server")

def test_passes():
    pass

@pytest.mark.parametrize("number", [1])
def test_counts(number):
    assert number == 2, "off by one"

def test_needs_a_server(broken):
    pass
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is said of a real run of pytest that went wrong in three ways."""
    folder = tmp_path_factory.mktemp("recap")
    (folder / "test_failing.py").write_text(FAILING)
    (folder / "test_not_there.py").write_text("import nothing_of_that_name\n")
    return recap(_run(folder))


def _run(folder: Path) -> Path:
    report = folder / "report.xml"
    options = [f"--junitxml={report}", "-ojunit_family=xunit1", "-pno:randomly", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", f"--rootdir={folder}", *options, str(folder)]
    subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    return report


def test_a_failed_test_is_named_with_the_first_line_of_its_error(lines: list[str]) -> None:
    assert "test_failing.py::test_counts[1] - AssertionError: off by one" in lines


def test_a_fixture_that_failed_is_named_with_its_test(lines: list[str]) -> None:
    assert [line for line in lines if "::test_needs_a_server" in line and "no server" in line]


def test_a_file_that_cannot_be_imported_is_named_with_its_reason(lines: list[str]) -> None:
    assert [line for line in lines if "test_not_there" in line and "nothing_of_that_name" in line]


def test_what_passed_is_not_named(lines: list[str]) -> None:
    assert len(lines) == 3


def test_a_run_that_left_no_report_is_said_so(tmp_path: Path) -> None:
    assert "no report" in recap(tmp_path / "missing.xml")[0]


def test_of_very_many_failures_the_rest_is_counted(tmp_path: Path) -> None:
    case = '<testcase file="t.py" name="test_x"><failure message="boom"/></testcase>'
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{case * (LINES + 7)}</testsuite></testsuites>")
    assert recap(report)[LINES:] == ["and 7 more"]
