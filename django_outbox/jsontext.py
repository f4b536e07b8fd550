"""JSON as ``json.dumps`` writes it, by an encoder that is kept: to make one costs as much as to write a small document.

Columns, checks and frames are written with it. Knows nothing of messages.
"""

from __future__ import annotations

import json
from functools import lru_cache
from json import encoder as stdlib
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class Written(str):
    """The text of a document that needs no writing: it came as JSON."""

    __slots__ = ()


def writer(kind: type[json.JSONEncoder] | None = None, *, allow_nan: bool = True) -> Callable[[Any], str]:
    """Return what writes a document as ``json.dumps(document, cls=kind, allow_nan=allow_nan)`` does.

    Only a document that holds itself ends in another error: ``RecursionError``.
    """
    return _writer(cast("Any", kind or json.JSONEncoder), allow_nan)


@lru_cache(maxsize=32)
def _writer(kind: Callable[..., json.JSONEncoder], allow_nan: bool) -> Callable[[Any], str]:
    encoder = kind(allow_nan=allow_nan)
    chunks = _kept(encoder)
    if chunks is None:
        return encoder.encode
    join = "".join

    def write(document: Any) -> str:
        return join(chunks(document, 0))

    return write


def _kept(encoder: json.JSONEncoder) -> Callable[[Any, int], tuple[str, ...]] | None:
    """Return what the standard library makes anew for each document, None where an encoder has ways of its own."""
    kind, make = type(encoder), getattr(stdlib, "c_make_encoder", None)
    is_plain = kind.encode is json.JSONEncoder.encode and kind.iterencode is json.JSONEncoder.iterencode
    if make is None or not is_plain or getattr(encoder, "indent", None) is not None:
        return None
    quote = stdlib.encode_basestring_ascii if encoder.ensure_ascii else stdlib.encode_basestring
    separators = (encoder.key_separator, encoder.item_separator)
    try:
        # Without the memory of what it is in the middle of: threads would share that.
        made: Callable[[Any, int], tuple[str, ...]] = make(
            None, encoder.default, quote, None, *separators, encoder.sort_keys, encoder.skipkeys, encoder.allow_nan
        )
    except TypeError:
        return None  # A Python that makes them in another way.
    return made
