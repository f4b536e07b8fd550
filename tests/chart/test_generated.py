"""Generated files are what their sources give; ``make generate`` makes them so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chart.rendering import CHART, ROOT
from tools import generate
from tools.chart import readme

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_generated_file_is_fresh() -> None:
    assert [str(path.relative_to(ROOT)) for path in generate.stale(ROOT)] == [], "run `make generate`"


def test_the_check_names_a_stale_file_and_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "GENERATORS", [lambda root: {root / "made": "new"}])
    (tmp_path / "made").write_text("old")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == "stale: made\n"
    assert generate.main([]) == 0
    assert (tmp_path / "made").read_text() == "new"
    assert generate.main(["--check"]) == 0


def test_the_chart_holds_no_crd_that_the_repository_does_not() -> None:
    copies = {path.name for path in (CHART / "files" / "crds").iterdir()}
    assert copies == {path.name for path in (ROOT / "crds").glob("*.yaml")}


def test_every_value_is_documented() -> None:
    assert readme.undocumented((CHART / "values.yaml").read_text()) == []


def test_the_table_of_values_shows_paths_defaults_and_comments() -> None:
    text = "# -- How many.\ncount: 1\nlog:\n  # -- Loudness,\n  # in words.\n  level: info\nbare: x\n"
    assert list(readme.documented(text)) == [
        readme.Value("count", "1", "How many."),
        readme.Value("log.level", '"info"', "Loudness, in words."),
    ]
    assert readme.undocumented(text) == ["bare"]
