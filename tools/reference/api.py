"""The page of every public name: signature and docstring, as the code has them. ``tools.generate`` calls ``files``."""

from __future__ import annotations

import inspect
import os
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PREAMBLE = """\
# Public names

Made from the code by `make generate`; to change a text, change the docstring it comes from. Names that are neither here
nor elsewhere in these pages may change in any release.

The package is typed (`py.typed`). A project that is checked by `mypy --strict` needs no stubs for it, and Django's only
if it wants Django's own types.
"""
# Modules, what they are for, and their public names where the module has no `__all__`.
MODULES: tuple[tuple[str, str, tuple[str, ...] | None], ...] = (
    ("django_outbox", "What applications import. The same names are in `django_outbox_pattern` and its modules.", None),
    (
        "django_outbox.exceptions",
        "What is raised; `Reject` and `RetryLater` are above. `except OutboxError` catches all of it.",
        (),
    ),
    ("django_outbox.tracing", "Trace context, see [tracing.md](tracing.md).", ("carry",)),
    ("django_outbox.testing", "For tests of applications, see [testing.md](testing.md).", None),
)


_FIRST = ("self", "cls")


def files(root: Path) -> Mapping[Path, str]:
    """Return the page as the code wants it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_project.settings")
    django.setup()
    parts = [PREAMBLE]
    for module, purpose, _ in MODULES:
        parts.append(f"\n## {module}\n\n{purpose}\n")
        parts += [_section(name, public) for name, public in names_of(module)]
    return {root / "docs" / "api.md": "".join(parts)}


def names_of(module: str) -> list[tuple[str, Any]]:
    """Return the public names of one of ``MODULES`` with what they stand for."""
    loaded = import_module(module)
    chosen = next(names for name, _, names in MODULES if name == module)
    if chosen is None:
        chosen = tuple(loaded.__all__)
    # The rest is listed by what the module itself defines.
    own = [name for name, value in vars(loaded).items() if inspect.isclass(value) and value.__module__ == module]
    elsewhere = import_module("django_outbox").__all__
    names = chosen or tuple(name for name in own if not name.startswith("_") and name not in elsewhere)
    return [(name, getattr(loaded, name)) for name in names]


def members_of(public: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class of ours defines, in the order of its code."""
    for base in reversed(public.__mro__):
        if not base.__module__.startswith("django_outbox"):
            continue
        for name, member in vars(base).items():
            is_ours = isinstance(member, property | classmethod) or inspect.isfunction(member)
            if (
                is_ours
                and not name.startswith("_")
                and vars(public).get(name, member) is member
                and _is_written(member)
            ):
                yield name, member


def _is_written(member: Any) -> bool:
    """Tell whether a person wrote it: dataclasses and models get some methods made."""
    code = getattr(inspect.unwrap(_function_of(member)), "__code__", None)
    return code is not None and "django_outbox" in code.co_filename


def _function_of(member: Any) -> Any:
    return member.fget if isinstance(member, property) else getattr(member, "__func__", member)


def _section(name: str, public: Any) -> str:
    parts = [f"\n### {name}\n\n```python\n{_signature(name, public)}\n```\n\n{_text(public)}\n"]
    if inspect.isclass(public):
        for member_name, member in members_of(public):
            head = f"`.{member_name}`" if isinstance(member, property) else f"`.{_signature(member_name, member)}`"
            parts.append(f"\n- {head}: {_text(member, indent='  ')}\n")
    return "".join(parts)


def _signature(name: str, public: Any) -> str:
    bases = {base.__name__ for base in public.__mro__} if inspect.isclass(public) else set()
    if bases & {"BaseException", "Model", "Enum"}:
        parents = [base.__name__ for base in public.__bases__]
        return f"class {name}({', '.join(parents)})"
    signature = inspect.signature(_function_of(public))
    parameters = [_bare(parameter) for parameter in signature.parameters.values() if parameter.name not in _FIRST]
    result = "" if inspect.isclass(public) else f" -> {_returned(public, signature)}"
    head = f"class {name}" if inspect.isclass(public) else name
    text = f"{head}{signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)}{result}"
    return text.replace("<factory>", "...")


def _returned(public: Any, signature: inspect.Signature) -> str:
    """Return what a call gives; a generator that was made a context manager says what ``with`` gives."""
    annotation = str(signature.return_annotation)
    is_block = inspect.isgeneratorfunction(inspect.unwrap(public)) and hasattr(public, "__wrapped__")
    return re.sub(r"^Iterator\[(.*)\]$", r"AbstractContextManager[\1]", annotation) if is_block else annotation


class _Bare:
    """An annotation that shows itself without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    @classmethod
    def of(cls, annotation: Any) -> Any:
        """Return what to show for an annotation."""
        text = getattr(annotation, "__forward_arg__", annotation)
        return cls(text) if isinstance(text, str) else annotation


def _bare(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(annotation=_Bare.of(parameter.annotation))


def _text(public: Any, indent: str = "") -> str:
    """Return a docstring as Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.getdoc(public) or "")
    return "\n".join(f"{indent}{line}" if line else "" for line in text.splitlines()).strip()
