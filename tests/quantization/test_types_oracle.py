"""The type of every tensor of ten model shapes in every file type, beside llama.cpp's own dry run.

Files hold a header only and are sparse behind it: nothing but names and shapes matters.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.quantization.decisions import Wishes, decide
from zigllm_cli.quantization.file_types import file_types

pytestmark = pytest.mark.oracle

Shapes = dict[str, tuple[int, ...]]
LINE = re.compile(
    r"^\[\s*\d+/\s*\d+\]\s+(\S+)\s+- \[.*?\], type =\s+(\S+), size = .*?(?:\((\w+)\))?$"
)


def dense(
    layers: int, width: int, ff: int, kv: int, *, tied: bool = False, gated: bool = True
) -> Shapes:
    """LLaMA's tensors."""
    shapes: Shapes = {"token_embd.weight": (width, 32000), "output_norm.weight": (width,)}
    if not tied:
        shapes["output.weight"] = (width, 32000)
    for i in range(layers):
        b = f"blk.{i}."
        shapes |= {
            b + "attn_norm.weight": (width,),
            b + "attn_q.weight": (width, width),
            b + "attn_k.weight": (width, kv),
            b + "attn_v.weight": (width, kv),
            b + "attn_output.weight": (width, width),
            b + "ffn_up.weight": (width, ff),
            b + "ffn_down.weight": (ff, width),
        }
        if gated:
            shapes[b + "ffn_gate.weight"] = (width, ff)
    return shapes


def fused(layers: int, width: int, *, tied: bool = False) -> Shapes:
    """GPT-2's, Falcon's and Phi's: one matrix for queries, keys and values."""
    shapes = dense(layers, width, 4 * width, width, tied=tied, gated=False)
    for i in range(layers):
        for part in "qkv":
            del shapes[f"blk.{i}.attn_{part}.weight"]
        shapes[f"blk.{i}.attn_qkv.weight"] = (width, 3 * width)
    return shapes


def mixture(layers: int, width: int, ff: int, kv: int, experts: int) -> Shapes:
    """Mixtral's."""
    shapes = dense(layers, width, ff, kv)
    for i in range(layers):
        for part in ("up", "gate", "down"):
            row, rows = shapes.pop(f"blk.{i}.ffn_{part}.weight")
            shapes[f"blk.{i}.ffn_{part}_exps.weight"] = (row, rows, experts)
        shapes[f"blk.{i}.ffn_gate_inp.weight"] = (width, experts)
    return shapes


def mamba(layers: int, width: int) -> Shapes:
    shapes: Shapes = {"token_embd.weight": (width, 32000), "output_norm.weight": (width,)}
    for i in range(layers):
        b, inner = f"blk.{i}.", 2 * width
        shapes |= {
            b + "ssm_in.weight": (width, 2 * inner),
            b + "ssm_conv1d.weight": (4, inner),
            b + "ssm_x.weight": (inner, 80),
            b + "ssm_dt.weight": (48, inner),
            b + "ssm_a": (16, inner),
            b + "ssm_out.weight": (inner, width),
        }
    return shapes


def bert(layers: int, width: int) -> Shapes:
    shapes = dense(layers, width, 4 * width, width, tied=True, gated=False)
    return shapes | {"position_embd.weight": (width, 512), "token_types.weight": (width, 2)}


# architecture, heads, key/value heads, experts, tensors
MODELS: dict[str, tuple[str, int, int, int, Shapes]] = {
    "llama-7b": ("llama", 32, 32, 0, dense(32, 4096, 11008, 4096)),
    "llama-8b": ("llama", 32, 8, 0, dense(32, 4096, 14336, 1024)),
    "llama-70b": ("llama", 64, 8, 0, dense(80, 8192, 28672, 1024)),
    "mixtral": ("llama", 32, 8, 8, mixture(32, 4096, 14336, 1024, 8)),
    "qwen2-0.5b": ("qwen2", 14, 2, 0, dense(24, 896, 4864, 128, tied=True)),
    "qwen2-72b": ("qwen2", 64, 8, 0, dense(80, 8192, 29568, 1024)),
    "gemma-2b": ("gemma", 8, 1, 0, dense(18, 2048, 16384, 256, tied=True)),
    "falcon-7b": ("falcon", 71, 1, 0, fused(32, 4544)),
    "falcon-40b": ("falcon", 128, 8, 0, fused(60, 8192)),
    "gpt2": ("gpt2", 12, 12, 0, fused(12, 768, tied=True)),
    "phi2": ("phi2", 32, 32, 0, fused(32, 2560)),
    "bert": ("bert", 12, 12, 0, bert(12, 768)),
    "mamba": ("mamba", 0, 0, 0, mamba(24, 768)),
}


def write(path: Path, model: str) -> None:
    architecture, heads, kv_heads, experts, shapes = MODELS[model]
    width = shapes["token_embd.weight"][0]
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(1 + max(int(n.split(".")[1]) for n in shapes if n.startswith("blk.")))
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(
        max(s[0] for n, s in shapes.items() if "down" in n or "ssm" in n)
    )
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    if architecture == "bert":
        writer.add_causal_attention(False)
    if heads:
        writer.add_rope_dimension_count(width // heads)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    if architecture == "mamba":
        writer.add_ssm_conv_kernel(4)
        writer.add_ssm_inner_size(2 * width)
        writer.add_ssm_state_size(16)
        writer.add_ssm_time_step_rank(48)
    size = 0
    for name, shape in shapes.items():
        count = 2
        for extent in shape:
            count *= extent
        size += -(-count // 32) * 32
        kind = gguf.GGMLQuantizationType.F16
        writer.add_tensor_info(name, shape[::-1], "float16", count, raw_dtype=kind)  # type: ignore[arg-type]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = -(-path.stat().st_size // 32) * 32
    with path.open("r+b") as file:
        file.truncate(start + size)


LISTENERS: list[object] = []
"""llama.cpp keeps calling what listens to it, in tests of other files too."""


@pytest.fixture(scope="module")
def dry_run() -> Callable[[Path, int], dict[str, str] | None]:
    """dry_run(path, file type): tensor -> type, by llama.cpp; None where it gives up."""
    import llama_cpp

    lines: list[str] = []
    callback = llama_cpp.llama_log_callback(
        lambda level, text, data: lines.append(text.decode(errors="replace"))
    )
    LISTENERS.append(callback)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()

    def run(path: Path, number: int) -> dict[str, str] | None:
        lines.clear()
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype, parameters.nthread, parameters.dry_run = number, 1, True
        code = llama_cpp.llama_model_quantize(
            str(path).encode(), str(path.with_suffix(".out")).encode(), ctypes.byref(parameters)
        )
        if code:
            return None
        found = {}
        for line in "".join(lines).splitlines():
            if match := LINE.match(line):
                found[match[1]] = (match[3] or match[2]).upper()
        return found

    run.callback = callback  # type: ignore[attr-defined]  # llama.cpp keeps calling it
    return run


@pytest.mark.parametrize("model", MODELS)
def test_types(model: str, tmp_path: Path, dry_run: Callable[..., dict[str, str] | None]) -> None:
    path = tmp_path / "model.gguf"
    write(path, model)
    file = open_gguf(path)
    for kind in file_types():
        expected = dry_run(path, kind.number)
        if expected is None:
            with pytest.raises(UnsupportedError):
                decide(file, kind, Wishes())
            continue
        rows = decide(file, kind, Wishes()).rows
        assert {row.name: row.type.name for row in rows} == expected, kind.name
        assert [row.name for row in rows] == list(expected), "order"
