"""Merging a pod template over another one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from outbox_operator.build.merge import merge, merge_env


@pytest.mark.parametrize(
    ("base", "overlay", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
        (
            {"containers": [{"name": "worker", "image": "a", "tty": True}]},
            {"containers": [{"name": "proxy"}, {"name": "worker", "image": "b"}]},
            {"containers": [{"name": "worker", "image": "b", "tty": True}, {"name": "proxy"}]},
        ),
        (
            {"volumeMounts": [{"mountPath": "/tmp", "name": "t"}]},
            {"volumeMounts": [{"mountPath": "/tmp", "readOnly": True}]},
            {"volumeMounts": [{"mountPath": "/tmp", "name": "t", "readOnly": True}]},
        ),
        ({}, {"containers": [{"name": "x"}]}, {"containers": [{"name": "x"}]}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
    ],
    ids=[
        "objects by key",
        "null removes",
        "plain lists",
        "containers by name",
        "mounts by path",
        "new list",
        "atomic list",
    ],
)
def test_merging(base: Any, overlay: Any, merged: Any) -> None:
    assert merge(base, overlay) == merged


def test_neither_side_is_changed_or_shared() -> None:
    base, overlay = {"a": {"b": [1]}, "env": [{"name": "X"}]}, {"a": {"c": [2]}, "env": [{"name": "Y"}]}
    before = copy.deepcopy((base, overlay))
    found = merge(base, overlay)
    found["a"]["b"].append(9)
    found["a"]["c"].append(9)
    found["env"][0]["value"] = "9"
    assert (base, overlay) == before


def test_a_variable_replaces_its_predecessor_whole_and_in_its_place() -> None:
    base = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    overlay = [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]
    merged = merge_env(base, overlay)
    assert merged == [overlay[0], base[1]]
