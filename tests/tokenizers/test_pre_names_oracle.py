"""One vocabulary under every `tokenizer.ggml.pre`: llama.cpp's ids and ours."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zigllm_cli
from zigllm_cli.tokenizers.pretokenizers import NAMES

pytestmark = pytest.mark.oracle

GOLDEN = json.loads(Path(__file__).with_name("pretokenizer_splits.json").read_text("utf-8"))
TEXTS = [next(iter(splits)).replace("‖", "") for splits in GOLDEN["splits"]]
PRE = "tokenizer.ggml.pre"


def spelt(text: str) -> bytes:
    """A string as GGUF stores it."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def with_pre(data: bytes, name: str) -> bytes:
    """A vocabulary file with another `tokenizer.ggml.pre`; it has no tensors to be moved."""
    assert struct.unpack_from("<Q", data, 8) == (0,)
    start = data.index(spelt(PRE) + struct.pack("<I", 8)) + len(spelt(PRE)) + 4
    (length,) = struct.unpack_from("<Q", data, start)
    return data[:start] + spelt(name) + data[start + 8 + length :]


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_those_of_llama_cpp(
    name: str, kit: Path, oracle: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = tmp_path / "vocabulary.gguf"
    path.write_bytes(with_pre((kit / "vocab" / "ggml-vocab-gpt-2.gguf").read_bytes(), name))
    theirs, ours = oracle(path), zigllm_cli.load(path).tokenizer
    for text in TEXTS:
        if name == "whitespace":  # llama.cpp aborts on words of unescaped spaces
            text = text.replace(" ", "\u3000")
        expected = theirs.encode(text, add_special=False, parse_special=False)
        assert ours.encode(text, add_special=False, parse_special=False) == expected
