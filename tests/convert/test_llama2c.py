"""The real stories260K written as llama2.c does, and models of its own layouts in torch."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_runs import distance

from zigllm_cli import load, open_gguf
from zigllm_cli.convert.llama2c import recognises
from zigllm_cli.convert.source import read_source
from zigllm_cli.errors import InputError, UnsupportedError, ZigllmError

NORMS = ("attn_norm", "ffn_norm")
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down", "ffn_up")
GROUP = 4


def quantised(values: np.ndarray[Any, Any]) -> bytes:
    """As export.py's quantize_q80 does."""
    groups = values.reshape(-1, GROUP)
    scales = np.abs(groups).max(axis=1) / 127
    numbers = np.round(groups / np.where(scales, scales, 1)[:, None]).astype(np.int8)
    return numbers.tobytes() + scales.astype("<f4").tobytes()


def write(path: Path, tensors: dict[str, Any], numbers: list[int], version: int) -> None:
    """As export.py does, from tensors under GGUF's names."""
    layers, shared = numbers[2], "output.weight" not in tensors

    def of(name: str) -> list[Any]:
        return [tensors[f"blk.{i}.{name}.weight"] for i in range(layers)]

    def floats(values: list[Any]) -> bytes:
        return b"".join(value.astype("<f4").tobytes() for value in values)

    table, last = [tensors["token_embd.weight"]], [tensors["output_norm.weight"]]
    head = [] if shared else [tensors["output.weight"]]
    matrices = [value for name in MATRICES for value in of(name)]
    if version == 0:
        sizes = [*numbers[:5], numbers[5] * (1 if shared else -1), numbers[6]]
        angles = np.full((2, numbers[6], numbers[0] // numbers[3] // 2), 9)
        parts = [*of(NORMS[0]), *matrices[: 4 * layers], *of(NORMS[1]), *matrices[4 * layers :]]
        data = struct.pack("<7i", *sizes) + floats([*table, *parts, *last, angles, *head])
    else:
        start = b"24ka" + struct.pack("<i7iB", version, *numbers, shared)
        start += struct.pack("<i", GROUP) if version == 2 else b""
        norms = floats([*of(NORMS[0]), *of(NORMS[1]), *last])
        rest = [*table, *matrices, *head]
        data = start.ljust(256, b"\0") + norms
        data += floats(rest) if version == 1 else b"".join(map(quantised, rest))
    path.write_bytes(data)


def write_tokenizer(path: Path, metadata: Any) -> None:
    """As tokenizer.py does."""
    tokens, scores = (metadata[f"tokenizer.ggml.{x}"].tolist() for x in ("tokens", "scores"))
    data = b""
    for number, (token, score) in enumerate(zip(tokens, scores, strict=True)):
        text = f"\n{token}\n" if number in (1, 2) else token
        raw = text.replace("\u2581", " ").encode("utf-8", "surrogateescape")
        data += struct.pack("<fi", score, len(raw)) + raw
    path.write_bytes(struct.pack("<i", max(map(len, tokens))) + data)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_stories260k(kit: Path, version: int, tmp_path: Path, converted: Any) -> None:
    """The real model: the same tensors, the same vocabulary, the reference's text."""
    original = open_gguf(kit / "real" / "stories260K-f32.gguf")
    tensors = {name: t.numpy().view("<f4") for name, t in original.tensors.items()}
    write(tmp_path / "stories260K.bin", tensors, [64, 172, 5, 8, 4, 512, 512], version)
    write_tokenizer(tmp_path / "tokenizer.bin", original.metadata)
    path = converted(tmp_path / "stories260K.bin")
    file = open_gguf(path)
    for key in original.metadata:
        if key.startswith(("tokenizer.", "llama.")):
            wanted, found = original.metadata[key], file.metadata[key]
            assert list(found) == list(wanted) if hasattr(wanted, "tolist") else found == wanted, (
                key
            )
    assert list(file.tensors)[1:-1] == sorted(
        list(file.tensors)[1:-1], key=lambda name: int(name.split(".")[1])
    )
    if version == 2:
        for name, values in tensors.items():
            found = file.tensors[name].numpy().view("<f4")
            assert np.abs(found - values).max() <= np.abs(values).max() / 254 * 1.001, name
        return
    for name, tensor in original.tensors.items():
        assert bytes(file.tensors[name].data) == bytes(tensor.data), name
    text = "".join(load(path).generate("Once upon a time", max_tokens=200, temperature=0))
    wanted = (kit / "real" / "greedy-f32.txt").read_text("utf-8")
    assert ("Once upon a time" + text).strip() == wanted.strip()


def make_model(head: bool) -> tuple[dict[str, Any], list[int], Any]:
    """Tensors by GGUF name, and the forward pass as llama2.c's model.py has it, in torch."""
    import torch
    from torch.nn import functional as f

    width, ff, layers, heads, kv_heads, vocabulary, context = 24, 36, 2, 6, 2, 300, 32
    numbers = [width, ff, layers, heads, kv_heads, vocabulary, context]
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator) / (shape[-1] ** 0.5)

    kv = width // heads * kv_heads
    shapes = {
        **{"attn_q": (width, width), "attn_k": (kv, width), "attn_v": (kv, width)},
        **{"attn_output": (width, width), "ffn_gate": (ff, width), "ffn_down": (width, ff)},
        "ffn_up": (ff, width),
    }
    w = {"token_embd.weight": random(vocabulary, width), "output_norm.weight": random(width) + 1}
    for layer in range(layers):
        w |= {f"blk.{layer}.{name}.weight": random(*shape) for name, shape in shapes.items()}
        w |= {f"blk.{layer}.{name}.weight": random(width) + 1 for name in NORMS}
    if head:
        w["output.weight"] = random(vocabulary, width)

    def norm(x: Any, name: str) -> Any:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w[f"{name}.weight"]

    def rotated(x: Any) -> Any:
        size = width // heads
        speeds = 1.0 / (10000.0 ** (torch.arange(0, size, 2) / size))
        angles = torch.outer(torch.arange(x.shape[0]), speeds)
        turns = torch.polar(torch.ones_like(angles), angles)[:, None]
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(2)

    def forward(ids: list[int]) -> Any:
        x = w["token_embd.weight"][ids]
        time = len(ids)
        for i in range(layers):
            n = norm(x, f"blk.{i}.attn_norm")
            q, k, v = (
                f.linear(n, w[f"blk.{i}.attn_{y}.weight"]).view(time, -1, width // heads)
                for y in "qkv"
            )
            k, v = (y.repeat_interleave(heads // kv_heads, 1) for y in (rotated(k), v))
            y = f.scaled_dot_product_attention(
                *(part.transpose(0, 1) for part in (rotated(q), k, v)), is_causal=True
            )
            x = x + f.linear(y.transpose(0, 1).reshape(time, -1), w[f"blk.{i}.attn_output.weight"])
            n = norm(x, f"blk.{i}.ffn_norm")
            gate, up = (f.linear(n, w[f"blk.{i}.ffn_{y}.weight"]) for y in ("gate", "up"))
            x = x + f.linear(f.silu(gate) * up, w[f"blk.{i}.ffn_down.weight"])
        return f.linear(
            norm(x, "output_norm"), w.get("output.weight", w["token_embd.weight"])
        ).numpy()

    return w, numbers, forward


@pytest.mark.oracle
@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("head", [False, True], ids=["shared", "own head"])
def test_logits_are_torchs(
    version: int, head: bool, kit: Path, tmp_path: Path, converted: Any, engine_logits: Any
) -> None:
    import torch

    tensors, numbers, forward = make_model(head)
    if version == 2:
        for name, value in tensors.items():
            if "norm" not in name:
                data = quantised(value.numpy())
                count = value.numel()
                q = torch.frombuffer(bytearray(data[:count]), dtype=torch.int8).float()
                scales = torch.frombuffer(bytearray(data[count:]), dtype=torch.float32)
                tensors[name] = (q.view(-1, GROUP) * scales[:, None]).view(value.shape)
    arrays = {name: value.numpy() for name, value in tensors.items()}
    write(tmp_path / "model.bin", arrays, numbers, version)
    source = kit / "vocab" / "ggml-vocab-gpt-2.gguf"
    with pytest.raises(InputError, match="another model's"):
        converted(tmp_path / "model.bin", vocab_from=source)
    (tmp_path / "letters.txt").write_text("".join(map(chr, range(32, 127))))
    path = converted(tmp_path / "model.bin", vocab_from=tmp_path / "letters.txt")
    ids = [1, 299, 17, 42, 5, 5, 123, 80, 250, 9]
    assert distance(engine_logits(path, ids), forward(ids)) < 1e-5


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    numbers = (8, 8, 1, 2, 1, 300, 16)

    def header(version: int, *values: int, group: bytes = b"") -> bytes:
        start = b"24ka" + struct.pack("<i7iB", version, *values, 1) + group
        return start.ljust(256, b"\0")

    bad = {
        "cut short": header(1, *numbers)[:200],
        "version 7": header(7, *numbers),
        "not the sizes": header(1, *[0] * 7),
        "its numbers make": header(1, *numbers),
        "are not the sizes": header(2, *numbers),
        "groups of 7": header(2, *numbers, group=struct.pack("<i", 7)),
    }
    for message, data in bad.items():
        path.write_bytes(data)
        with pytest.raises((InputError, UnsupportedError), match=message):
            read_source(path)
    for data in (b"", bytes(28), bytes(300), struct.pack("<7i", 8, 8, 1, 2, 1, 300, 16) + bytes(9)):
        path.write_bytes(data)
        assert not recognises(path)


def test_damaged_tokenizers(kit: Path, tmp_path: Path) -> None:
    original = open_gguf(kit / "real" / "stories260K-f32.gguf")
    tensors = {name: t.numpy().view("<f4") for name, t in original.tensors.items()}
    path, tokenizer = tmp_path / "model.bin", tmp_path / "tokenizer.bin"
    write(path, tensors, [64, 172, 5, 8, 4, 512, 512], 1)
    with pytest.raises(InputError, match=r"no tokenizer\.bin"):
        read_source(path)
    write_tokenizer(tokenizer, original.metadata)
    whole = tokenizer.read_bytes()
    for data in (whole[:-1], whole[:5], whole[:50], whole[:8] + b"\xff" * 4 + whole[12:]):
        tokenizer.write_bytes(data)
        with pytest.raises(ZigllmError, match=r"tokenizer\.bin"):
            read_source(path)
