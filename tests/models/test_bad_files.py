"""Files that cannot be run: each ends in one sentence that names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from random_model import RANDOM_MODEL

from zigllm_cli.errors import InputError, UnsupportedError, ZigllmError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.models import architecture

KEYS: dict[str, Any] = {
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 32,
    "llama.feed_forward_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": 8,
}
SHAPES: dict[str, tuple[int, ...]] = {
    "token_embd.weight": (40, 32),
    "output_norm.weight": (32,),
    "blk.0.attn_norm.weight": (32,),
    "blk.0.attn_q.weight": (32, 32),
    "blk.0.attn_k.weight": (16, 32),
    "blk.0.attn_v.weight": (16, 32),
    "blk.0.attn_output.weight": (32, 32),
    "blk.0.ffn_norm.weight": (32,),
    "blk.0.ffn_gate.weight": (64, 32),
    "blk.0.ffn_up.weight": (64, 32),
    "blk.0.ffn_down.weight": (32, 64),
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a tiny model; keys and shapes given as None are left out."""

    def make(
        keys: dict[str, Any] | None = None,
        shapes: dict[str, Any] | None = None,
        dtype: type = np.float32,
        arch: str = "llama",
    ) -> Path:
        path = tmp_path / "model.gguf"
        writer = gguf.GGUFWriter(path, arch)
        for key, value in {**KEYS, **(keys or {})}.items():
            if isinstance(value, float):
                writer.add_float32(key, value)
            elif isinstance(value, str):
                writer.add_string(key, value)
            elif value is not None:
                writer.add_uint32(key, value)
        for name, shape in {**SHAPES, **(shapes or {})}.items():
            if shape is not None:
                kind = dtype if name == "blk.0.ffn_up.weight" else np.float32
                writer.add_tensor(name, np.zeros(shape, kind))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return make


def plan(path: Path) -> Any:
    return architecture(open_gguf(path)).plan(64)


def test_the_sound_file_is_sound(write: Write) -> None:
    assert plan(write()).logits.width == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapes": {"blk.0.ffn_up.weight": None}}, "tensor blk.0.ffn_up.weight is missing"),
        ({"shapes": {"token_embd.weight": None}}, "tensor token_embd.weight is missing"),
        ({"shapes": {"output_norm.weight": None}}, "tensor output_norm.weight is missing"),
        ({"shapes": {"blk.0.attn_k.weight": (32, 32)}}, "has shape 32 x 32.*asks for 32 x 16"),
        ({"shapes": {"blk.0.ffn_norm.weight": (31,)}}, "has shape 31"),
        ({"keys": {"llama.block_count": 2}}, "tensor blk.1.attn_norm.weight is missing"),
        ({"keys": {"llama.block_count": 0}}, "block_count is 0"),
        ({"keys": {"llama.embedding_length": None}}, "embedding_length is missing"),
        ({"keys": {"llama.attention.layer_norm_rms_epsilon": None}}, "epsilon is missing"),
        ({"keys": {"llama.attention.layer_norm_rms_epsilon": float("nan")}}, "makes no sense"),
        ({"keys": {"llama.attention.head_count_kv": 3}}, "4 attention heads cannot share 3"),
        ({"keys": {"llama.attention.head_count": 5}}, "cannot be cut into 5 heads|cannot share"),
        ({"keys": {"llama.rope.dimension_count": 7}}, "dimension_count is 7"),
        ({"keys": {"llama.rope.dimension_count": 16}}, "dimension_count is 16"),
        ({"keys": {"llama.rope.scaling.type": "other"}}, "known are none, linear"),
        ({"keys": {"llama.feed_forward_length": "wide"}}, "feed_forward_length is 'wide'"),
    ],
)
def test_what_does_not_fit(write: Write, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(write(**changes))


def test_what_this_program_does_not_run(write: Write) -> None:
    with pytest.raises(UnsupportedError, match="architecture starfish cannot be run"):
        plan(write(arch="starfish"))
    with pytest.raises(UnsupportedError, match=r"ffn_up\.weight is of type F64"):
        plan(write(dtype=np.float64))


def test_experts_that_are_not_there(write: Write) -> None:
    with pytest.raises(InputError, match="expert_used_count is missing"):
        plan(write(keys={"llama.expert_count": 8}))
    with pytest.raises(InputError, match=r"ffn_gate_inp\.weight is missing"):
        plan(write(keys={"llama.expert_count": 8, "llama.expert_used_count": 2}))
    with pytest.raises(InputError, match="expert_used_count is 9"):
        plan(write(keys={"llama.expert_count": 8, "llama.expert_used_count": 9}))


def test_a_vocabulary_is_not_a_model(kit: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        plan(kit / "vocab/ggml-vocab-llama-spm.gguf")


def test_every_cut_is_a_sentence(tmp_path: Path) -> None:
    """A file that ends anywhere is refused, or it is the whole file."""
    whole = RANDOM_MODEL.read_bytes()
    for size in (0, 3, 24, 100, 5_000, len(whole) // 2, len(whole) - 40):
        path = tmp_path / "cut.gguf"
        path.write_bytes(whole[:size])
        with pytest.raises(ZigllmError):
            plan(path)
