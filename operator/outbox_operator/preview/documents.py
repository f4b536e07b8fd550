"""Read Kubernetes objects from files, folders and standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from outbox_operator.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from outbox_operator.api.resource import Object

_SUFFIXES = (".yaml", ".yml", ".json")


class FilesError(OperatorError):
    """A file cannot be read, or holds something other than Kubernetes objects."""


class Document(NamedTuple):
    """One object and the file it comes from."""

    source: str
    obj: Object


def read_documents(paths: Iterable[str]) -> list[Document]:
    """Return the objects of files with any number of documents, of folders (not of those within), and of `-`.

    Raises:
        FilesError: the message names the file.
    """
    return [document for path in paths for document in _read(path)]


def _read(path: str) -> Iterator[Document]:
    if path == "-":
        yield from _parse("standard input", sys.stdin.read())
        return
    place = Path(path)
    files = sorted(item for item in place.iterdir() if item.suffix in _SUFFIXES) if place.is_dir() else [place]
    if not files:
        raise FilesError(f"{path}: no file that ends in {', '.join(_SUFFIXES)}")
    for file in files:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FilesError(f"{file}: {error}") from error
        yield from _parse(str(file), text)


def _parse(source: str, text: str) -> Iterator[Document]:
    try:
        loaded = [item for item in yaml.safe_load_all(text) if item is not None]
    except yaml.YAMLError as error:
        raise FilesError(f"{source}: {' '.join(str(error).split())}") from error
    for item in loaded:
        yield from _objects(source, item)


def _objects(source: str, item: Any) -> Iterator[Document]:
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
        raise FilesError(f"{source}: a document is no Kubernetes object, it has no kind")
    if item["kind"] == "List":
        for inner in item.get("items") or ():
            yield from _objects(source, inner)
        return
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise FilesError(f"{source}: a {item['kind']} has no metadata.name")
    yield Document(source, item)
