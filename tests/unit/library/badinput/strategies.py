"""What applications and strangers may hand to the library, the nasty kinds in particular."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

# Text with the characters that frames, databases and JSON have trouble with.
NASTY = st.sampled_from(
    ["\0", "\ud800", "\udfff", "\n", "\r\n", ":", "\\", "\\n", "\u2028", "\U0001f600", "/", " ", "%2F"]
)
nasty_text = st.lists(NASTY | st.text(max_size=5), max_size=5).map("".join)

_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    # Not sampled: Python cannot show the longest of them, nor Hypothesis what it samples from.
    | st.sampled_from([19, 400, 4000, 5000]).map(lambda digits: 10**digits)
    | st.floats()
    | nasty_text
    | st.text(max_size=20)
)
_odd_leaves = _leaves | st.binary(max_size=3) | st.just({1, 2}) | st.decimals(allow_nan=False) | st.just(object())
_keys = nasty_text | st.integers() | st.none() | st.booleans()


def _nested(depth: int) -> Any:
    document: Any = "bottom"
    for _ in range(depth):
        document = [document]
    return document


# Anything that Python code may pass as a body, sayable or not.
bodies = (
    st.recursive(
        _odd_leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3) | st.tuples(inner),
        max_leaves=8,
    )
    | st.sampled_from([10, 150, 201, 400, 990, 5000, 20_000]).map(_nested)
    | st.sampled_from([math.nan, math.inf, {"a": [1, -math.inf]}, {"deep": {"er": "\ud800"}}, "x" * 1_000_000])
)

header_values = (
    nasty_text
    | st.none()
    | st.integers()
    | st.floats()
    | st.lists(st.integers(), max_size=2)
    | st.just("x" * 65_536)
    | st.just({"a": "\0"})
)
header_names = nasty_text | st.sampled_from(
    [
        *("destination", "content-length", "receipt", "persistent", "message-id", "id", "transaction", ""),
        *("dop-msg-id", "dop-correlation-id", "traceparent", "x-message-ttl", "reply-to", "expires", "priority"),
    ]
)
headers = st.dictionaries(header_names, header_values, max_size=4)

destinations = (
    st.sampled_from(
        [
            *(
                "",
                " ",
                "/",
                "//",
                "/queue/",
                "/topic/",
                "/queue",
                "/topic/a b",
                "no-slash",
                "a/b",
                "/nowhere/x",
                "/queue/%2F",
            ),
            *(
                "/exchange//k",
                "/exchange/nobody/k",
                "/topic/a\nb",
                "/topic/a\0b",
                "/topic/\ud800",
                "/topic/a:b",
                "/amq/queue/x",
            ),
            "/queue/" + "x" * 300,
        ]
    )
    | nasty_text
    | nasty_text.map(lambda text: f"/topic/{text}")
    | st.integers()
    | st.none()
)
versions = st.none() | nasty_text | st.just("v" * 101) | st.integers()

# Bodies of foreign messages, as text off the wire.
foreign_bodies = (
    st.text(max_size=30)
    | st.sampled_from(
        [
            *(
                "",
                "null",
                "NaN",
                "[1, Infinity]",
                '"\\u0000"',
                '"\\ud800"',
                '{"a": "\\u0000"}',
                "{",
                "[]",
                "7",
                '"x"',
                "\ufeff{}",
            ),
            *(
                "[" * 3000,
                "[" * 150 + "]" * 150,
                "[" * 900 + "]" * 900,
                "1" * 5000,
                "1e400",
                '{"a": 1, "a": 2}',
                "\ufffd\ufffd",
            ),
            *('{"key": "' + "x" * 10_000 + '"}', "true", "-0", '{"": ""}'),
        ]
    )
    | st.recursive(st.none() | st.floats() | st.text(max_size=5), st.lists, max_leaves=5).map(str)
)
_long = "i" * 10_000
foreign_ids = st.sampled_from(
    ["", " ", "0", "x" * 100, "x" * 101, _long, _long + "1", _long + "2", "a\nb", "\u00e9", "'; --"]
)
foreign_headers = st.fixed_dictionaries(
    {},
    optional={
        "dop-msg-id": foreign_ids,
        "cap-msg-id": foreign_ids,
        "amqp-message-id": foreign_ids,
        "dop-correlation-id": foreign_ids,
        "dop-msg-sent-time": st.sampled_from(
            ["", "yesterday", "2026-01-01", "9999-12-31T23:59:59Z", "2026-13-45T99:99"]
        ),
        "dop-attempts": st.sampled_from(["", "-1", "x", "1.5", "999999999999999999999", "\u0663"]),
        "dop-destination": st.sampled_from(["", "/nowhere", "x" * 5000]),
        "dop-queue": st.sampled_from(["", "another"]),
        "content-type": st.sampled_from(["", "application/json", "image/png", "text/plain;charset=latin-1"]),
        "traceparent": st.sampled_from(["", "00", "x" * 5000]),
        "persistent": st.sampled_from(["", "maybe"]),
        "expires": st.sampled_from(["", "0", "soon"]),
    },
)
