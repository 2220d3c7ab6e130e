"""The types of six real models' tensors in every file type, as llama.cpp's tests record them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quantization.candidates import is_candidate
from zigllm_cli.quantization.file_types import file_type
from zigllm_cli.quantization.mixes import Mix, ModelShape, fitting, in_order

ARCHITECTURES = {
    "deepseek-v3.1": "deepseek2",
    "gemma-3-4b-it": "gemma3",
    "gpt-oss-120b": "gpt-oss",
    "meta-llama-3.1-70b-instruct": "llama",
    "qwen3-0.6b": "qwen3",
    "qwen3.6-27b": "qwen35",
}
Schema = dict[str, tuple[str, dict[str, str]]]


def read(path: Path) -> tuple[ModelShape, int, Schema]:
    """(shape, width, file type -> (default type, tensors with another one)) of a recorded model."""
    lines = path.read_text("utf-8").splitlines()
    head = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", lines[1])}
    shape = ModelShape(
        ARCHITECTURES[path.stem],
        head["n_layer"],
        head["n_head"],
        head["n_head_kv"],
        head.get("n_expert", 0),
    )
    schema: Schema = {}
    for line in lines[2:]:
        if section := re.fullmatch(r"\[(\w+)\] (\w+)", line):
            others: dict[str, str] = {}
            schema[section[1]] = (section[2].upper(), others)
        elif line:
            name, kind = line.rsplit(" ", 1)
            others[name] = kind.upper()
    return shape, head["n_embd"], schema


def tensor_shape(name: str, width: int) -> tuple[int, ...]:
    """Only whether rows are multiples of 32 and 256 matters, and whether there are three sizes."""
    row = 128 if "attn_k_b" in name else 4096 if "attn_output" in name else width
    is_stack = any(part in name for part in ("_exps", "attn_k_b", "attn_v_b"))
    return (row, 256, 8) if is_stack else (row, 256)


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_recorded_mixes(kit: Path, model: str) -> None:
    shape, width, schema = read(kit / "mixes" / f"{model}.schema")
    names = in_order(sorted({name for _, others in schema.values() for name in others}))
    assert len(names) > 190
    assert all(is_candidate(name, tensor_shape(name, width)) for name in names)
    for title, (default, others) in schema.items():
        kind = file_type(title)
        assert kind.default.name == default
        if not kind.default.is_quantized:
            continue
        mix = Mix(kind, shape, names, has_importance=False)
        found = {}
        for name in names:
            size = tensor_shape(name, width)
            chosen = fitting(mix.choose(name, size), size[0], name)
            if chosen != tensor_type(default):
                found[name] = chosen.name
        assert found == others, title
