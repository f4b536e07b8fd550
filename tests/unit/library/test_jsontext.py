"""JSON by a kept encoder is what ``json.dumps`` writes."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder

from django_outbox.jsontext import writer

DOCUMENT = {"a": [1, 2.5, None, True, 'ä"\\\n\U0001f600'], 1: 2, None: 3, False: 4, "big": 10**30, "deep": {"x": []}}


class Sorted(json.JSONEncoder):
    """Has settings of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class Upper(json.JSONEncoder):
    """Has a way of its own."""

    def encode(self, o: Any) -> str:
        """Shout."""
        return super().encode(o).upper()


@pytest.mark.parametrize("document", [DOCUMENT, "x", 7, 2.5, None, [], {}])
@pytest.mark.parametrize("kind", [None, DjangoJSONEncoder, Upper])
def test_a_document_is_written_as_dumps_writes_it(kind: type[json.JSONEncoder] | None, document: Any) -> None:
    assert writer(kind)(document) == json.dumps(document, cls=kind)


def test_an_encoder_keeps_its_settings_and_its_kinds() -> None:
    assert writer(Sorted)({"b": "ä", "a": [1, 2]}) == '{"a":[1,2],"b":"ä"}'
    odd = {"when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "id": uuid.UUID(int=7)}
    assert writer(DjangoJSONEncoder)(odd) == json.dumps(odd, cls=DjangoJSONEncoder)


def test_what_json_cannot_say_is_refused() -> None:
    assert writer()(math.nan) == "NaN"
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer(allow_nan=False)([math.nan])
    with pytest.raises(TypeError, match="not JSON serializable"):
        writer()(object())
    body: list[Any] = []
    body.append(body)
    with pytest.raises(RecursionError):
        writer()(body)
    assert writer()([1]) == "[1]"
