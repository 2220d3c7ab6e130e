"""Values as text and JSON."""

from __future__ import annotations

import json
import struct
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.gguf import ValueType, open_gguf
from zigllm_cli.inspection.formats import (
    did_you_mean,
    document,
    item_text,
    json_value,
    plain,
    scalar_text,
    short_float,
    shortened,
    type_text,
)


@given(st.floats(width=32, allow_nan=False))
def test_short_floats_mean_the_same(value: float) -> None:
    short = short_float(value, ValueType.FLOAT32)
    assert struct.pack("<f", short) == struct.pack("<f", value)
    if np.isfinite(value):
        assert len(repr(short)) <= len(repr(value))


def test_short_floats_are_what_people_wrote() -> None:
    for text in ("1e-06", "1e-05", "10000.0", "0.1", "1.1180340051651"):
        stored = struct.unpack("<f", struct.pack("<f", float(text)))[0]
        assert abs(short_float(stored, ValueType.FLOAT32) - float(text)) < 1e-7
    assert short_float(0.1, ValueType.FLOAT64) == 0.1
    stored = struct.unpack("<f", struct.pack("<f", 1e-6))[0]
    assert repr(short_float(stored, ValueType.FLOAT32)) == "1e-06"


def test_json_has_no_nan_and_no_broken_text() -> None:
    value = {"a": [nan, inf, -inf, 1.5], "b": "x\udcffy", "c": (True, None, 3)}
    text = json.dumps(json_value(value), allow_nan=False)
    assert json.loads(text) == {"a": [None, None, None, 1.5], "b": "x\ufffdy", "c": [True, None, 3]}


def test_documents_begin_with_schema_and_view() -> None:
    found = document("key", {"key": "a", "value": nan})
    assert list(found) == ["schema", "view", "key", "value"]
    assert found["schema"] == "zigllm.inspect/1"
    assert found["value"] is None


def test_texts() -> None:
    assert scalar_text(True) == "true"
    assert scalar_text("a b") == "a b"
    assert item_text('say "hi"\\') == '"say \\"hi\\"\\\\"'
    assert item_text([1, "a", [False]]) == '[1, "a", [false]]'


def test_arrays_in_full_and_short(build: Any) -> None:
    path = build({"x.list": [1, 2, 3, 4], "x.texts": ["a", "b", "c"], "x.yes": True})
    fields = open_gguf(path).metadata.fields
    numbers, texts = fields["x.list"], fields["x.texts"]
    assert (type_text(numbers), type_text(texts)) == ("arr:i32", "arr:str")
    assert type_text(fields["x.yes"]) == "bool"
    assert plain(numbers.value, numbers.type) == [1, 2, 3, 4]
    assert shortened(texts.value, texts.type, 2) == ["a", "b"]
    assert shortened(numbers.value, numbers.type, 0) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("general.nam", "did you mean 'general.name'?"),
        ("rope", "did you mean 'llama.rope.freq_base' or 'llama.rope.dimension_count'?"),
        ("zzz", "look elsewhere"),
        ("", "look elsewhere"),
    ],
)
def test_hints(name: str, hint: str) -> None:
    names = ["general.name", "llama.rope.freq_base", "llama.rope.dimension_count"]
    assert did_you_mean(name, names, "look elsewhere") == hint
