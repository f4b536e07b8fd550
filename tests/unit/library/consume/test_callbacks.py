"""What the command says about a callback that it cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from django_outbox.callbacks import import_callback
from django_outbox.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable package with one module for each way to go wrong."""
    name = f"package_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "good.py").write_text("LIMIT = 3\ndef on_order(payload): ...\nasync def later(payload): ...\n")
    (folder / "missing_import.py").write_text("import no_such_package_at_all\n")
    (folder / "broken.py").write_text("raise RuntimeError('first line\\nsecond line')\n")
    (folder / "syntax.py").write_text("def on_order(\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_good_path_gives_the_function(package: str) -> None:
    assert import_callback(f"{package}.good.on_order").__name__ == "on_order"


@pytest.mark.parametrize(
    ("path", "cause", "advice"),
    [
        ("on_order", "not a dotted path", "billing.callbacks.on_order"),
        ("", "not a dotted path", "billing.callbacks.on_order"),
        (".on_order", "not a dotted path", "billing.callbacks.on_order"),
        ("{}.absent.on_order", "There is no module '{}.absent'", "Check the spelling"),
        ("no_such_top.x.on_order", "There is no module 'no_such_top'", "installed in this image"),
        ("{}.good.on_ordre", "has no attribute 'on_ordre'", "Did you mean '{}.good.on_order'?"),
        ("{}.good.zzz", "has no attribute 'zzz'", "Check the name"),
        ("{}.good.LIMIT", "of type int, not a function", "Name a function"),
        ("{}.good.later", "coroutine function", "async_to_sync"),
        ("{}.missing_import.on_order", "No module named 'no_such_package_at_all'", "Install what it imports"),
        ("{}.broken.on_order", "raised RuntimeError: first line second line", "Correct the module"),
        ("{}.syntax.on_order", "raised SyntaxError", "Correct the module"),
    ],
)
def test_a_bad_path_is_explained_in_one_line(package: str, path: str, cause: str, advice: str) -> None:
    path = path.replace("{}", package)
    with pytest.raises(ConfigurationError) as raised:
        import_callback(path)
    text = str(raised.value)
    assert text.startswith(f"Could not import '{path}'. ")
    assert cause.replace("{}", package) in text
    assert advice.replace("{}", package) in text
    assert "\n" not in text
