"""Settings: defaults that suit, and errors of one line that name the variable."""

from __future__ import annotations

import pytest

from outbox_operator.__main__ import main
from outbox_operator.errors import SettingsError
from outbox_operator.settings import load_settings


def test_without_variables_the_defaults_serve_the_whole_cluster() -> None:
    settings = load_settings({})
    assert settings.watch_namespaces == ()
    assert (settings.port, settings.resync_seconds, settings.leader_election) == (8080, 60, True)
    assert (settings.log_level, settings.log_format) == ("INFO", "json")


def test_namespaces_are_a_comma_list() -> None:
    assert load_settings({"OUTBOX_OPERATOR_WATCH_NAMESPACES": "shop, billing,shop,"}).watch_namespaces == (
        "shop",
        "billing",
    )


def test_an_empty_value_counts_as_unset() -> None:
    assert load_settings({"OUTBOX_OPERATOR_PORT": " "}).port == 8080


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("PORT", "80.5"),
        ("RESYNC_SECONDS", "0"),
        ("RESYNC_SECONDS", "nan"),
        ("LEADER_ELECTION", "maybe"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("WATCH_NAMESPACES", "shop;billing"),
        ("WORKERS", "0"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"OUTBOX_OPERATOR_{name}"):
        load_settings({f"OUTBOX_OPERATOR_{name}": value})


def test_a_wrong_value_ends_the_program_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTBOX_OPERATOR_PORT", "http")
    assert main(["run"]) == 1
    error = "outbox-operator: OUTBOX_OPERATOR_PORT must be a whole number from 0 to 65535, not 'http'\n"
    assert capsys.readouterr().err == error
