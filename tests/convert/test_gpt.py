"""Checkpoints of nanoGPT and minGPT, saved from models that compute as theirs do, in torch."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from model_runs import distance

from zigllm_cli import load
from zigllm_cli.convert.conversion import Options
from zigllm_cli.convert.source import read_source
from zigllm_cli.errors import InputError, UnsupportedError, UsageError

TEXT = "Wer reitet so spät durch Nacht und Wind?\n\tEs ist der Vater \\ mit seinem Kind; 風\x7f"
CHARACTERS = sorted(set(TEXT))
LAYERS, HEADS, WIDTH, CONTEXT = 2, 3, 48, 32


def make_gpt(kind: str, *, bias: bool = True, rows: int = len(CHARACTERS)) -> Any:
    """GPT of nanoGPT ("nano") or minGPT ("mini"): their modules' names, and their arithmetic."""
    import torch
    from torch import nn
    from torch.nn import functional as f

    class LayerNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(WIDTH) + 0.5)
            self.bias = nn.Parameter(torch.randn(WIDTH) * 0.2) if bias else None

        def forward(self, x: Any) -> Any:
            return f.layer_norm(x, (WIDTH,), self.weight, self.bias, 1e-5)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn = nn.Linear(WIDTH, 3 * WIDTH, bias=bias)
            self.c_proj = nn.Linear(WIDTH, WIDTH, bias=bias)
            mask = torch.tril(torch.ones(CONTEXT, CONTEXT)).view(1, 1, CONTEXT, CONTEXT)
            if kind == "mini":
                self.register_buffer("bias", mask)

        def forward(self, x: Any) -> Any:
            batch, time, _ = x.shape
            q, k, v = (
                part.view(batch, time, HEADS, WIDTH // HEADS).transpose(1, 2)
                for part in self.c_attn(x).split(WIDTH, dim=2)
            )
            y = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(y.transpose(1, 2).reshape(batch, time, WIDTH))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.attn, self.ln_2 = LayerNorm(), Attention(), LayerNorm()
            self.mlp = nn.ModuleDict(
                {
                    "c_fc": nn.Linear(WIDTH, 4 * WIDTH, bias=bias),
                    "c_proj": nn.Linear(4 * WIDTH, WIDTH, bias=bias),
                }
            )

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            up = self.mlp["c_fc"](self.ln_2(x))
            return x + self.mlp["c_proj"](
                f.gelu(up, approximate="none" if kind == "nano" else "tanh")
            )

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = nn.ModuleDict(
                {
                    "wte": nn.Embedding(rows, WIDTH),
                    "wpe": nn.Embedding(CONTEXT, WIDTH),
                    "h": nn.ModuleList([Block() for _ in range(LAYERS)]),
                    "ln_f": LayerNorm(),
                }
            )
            self.lm_head = nn.Linear(WIDTH, rows, bias=False)
            if kind == "nano":
                self.transformer["wte"].weight = self.lm_head.weight

        def forward(self, ids: Any) -> Any:
            t = self.transformer
            x = t["wte"](ids) + t["wpe"](torch.arange(ids.shape[1]))
            for block in t["h"]:
                x = block(x)
            return self.lm_head(t["ln_f"](x))

    torch.manual_seed(7)
    return GPT().eval()


def save_nano(folder: Path, model: Any, prefix: str = "", **arguments: Any) -> Path:
    """As nanoGPT's train.py does."""
    import torch

    args = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "block_size": CONTEXT} | arguments
    state = {prefix + name: value for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters()).state_dict()
    checkpoint = {
        "model": state,
        "optimizer": optimizer,
        "model_args": args,
        "iter_num": 5,
        "best_val_loss": torch.tensor(1.5),
        "config": {"dataset": "poem", "device": "cpu"},
    }
    torch.save(checkpoint, folder / "ckpt.pt")
    return folder / "ckpt.pt"


def save_meta(path: Path) -> None:
    meta = {"vocab_size": len(CHARACTERS), "itos": dict(enumerate(CHARACTERS)), "stoi": {}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(meta))


def answers(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor([ids]))[0].numpy()


@pytest.mark.oracle
@pytest.mark.parametrize("bias", [True, False])
def test_nanogpt_with_characters(
    bias: bool, tmp_path: Path, converted: Any, engine_logits: Any
) -> None:
    model = make_gpt("nano", bias=bias)
    folder = tmp_path / "out-poem"
    folder.mkdir()
    save_nano(folder, model, "_orig_mod." if bias else "", bias=bias)
    save_meta(tmp_path / "data" / "poem" / "meta.pkl")
    path = converted(folder)
    ids = [CHARACTERS.index(character) for character in TEXT][:CONTEXT]
    opened = load(path)
    assert opened.tokenizer.encode(TEXT) == [CHARACTERS.index(character) for character in TEXT]
    assert opened.tokenizer.decode(opened.tokenizer.encode(TEXT)) == TEXT
    assert "output.weight" not in opened.file.tensors
    assert opened.file.metadata["general.name"] == "out-poem"
    assert distance(engine_logits(path, ids), answers(model, ids)) < 1e-5


@pytest.mark.oracle
def test_mingpt_with_the_characters_of_a_text(
    tmp_path: Path, converted: Any, engine_logits: Any
) -> None:
    import torch

    model = make_gpt("mini")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    (tmp_path / "input.txt").write_text(TEXT, "utf-8")
    with pytest.raises(UsageError, match="--heads"):
        converted(tmp_path / "model.pt", vocab_from=tmp_path / "input.txt")
    ids = [CHARACTERS.index(character) for character in TEXT[:30]]
    for heads, config in (
        (HEADS, {}),
        (None, {"n_head": HEADS}),
        (None, {"model_type": "gpt-nano"}),
    ):
        (tmp_path / "config.json").write_text(json.dumps({"model": config}))
        path = converted(tmp_path / "model.pt", vocab_from=tmp_path / "input.txt", heads=heads)
        assert distance(engine_logits(path, ids), answers(model, ids)) < 1e-5
    assert load(path).tokenizer.encode(TEXT[:30]) == ids


@pytest.mark.oracle
def test_gpt2_vocabulary_from_a_file(tmp_path: Path, kit: Path, converted: Any) -> None:
    source = kit / "vocab" / "ggml-vocab-gpt-2.gguf"
    path = converted(
        save_nano(tmp_path, make_gpt("nano", rows=50304)), type_name="q8_0", vocab_from=source
    )
    wanted, found = load(source).tokenizer, load(path).tokenizer
    text = "Hello world, it's 2026 \n\n<|endoftext|>"
    assert found.encode(text) == wanted.encode(text)
    assert len(found.vocabulary) == 50304
    assert found.vocabulary.end_ids == wanted.vocabulary.end_ids


@pytest.mark.oracle
def test_vocabulary_from_a_folder(tmp_path: Path, kit: Path, converted: Any) -> None:
    folder = kit / "models" / "gpt2" / "hf"
    checkpoint = save_nano(tmp_path, make_gpt("nano", rows=600))
    path = converted(checkpoint, vocab_from=folder)
    text = "Hello world, it's 2026"
    wanted = load(kit / "models" / "gpt2" / "model-f32.gguf").tokenizer.encode(text)
    assert load(path).tokenizer.encode(text) == wanted
    with pytest.raises(InputError, match="has no tokenizer"):
        converted(checkpoint, vocab_from=tmp_path)


@pytest.mark.oracle
def test_llama_cpp_agrees(tmp_path: Path, converted: Any) -> None:
    """As far as its GELU by tanh, looked up in half floats, allows."""
    import llama_cpp_runs

    model = make_gpt("nano", bias=False)
    save_meta(tmp_path / "meta.pkl")
    path = converted(save_nano(tmp_path, model))
    ids = [CHARACTERS.index(character) for character in TEXT[:30]]
    assert distance(llama_cpp_runs.logits(path, ids, CONTEXT), answers(model, ids)) < 2e-3


@pytest.mark.oracle
def test_what_is_wrong_is_named(tmp_path: Path, converted: Any) -> None:
    import torch

    model = make_gpt("nano")
    path = save_nano(tmp_path, model)
    with pytest.raises(InputError, match="--vocab-from"):
        read_source(path)
    save_meta(tmp_path / "meta.pkl")
    state = model.state_dict()
    changes = {
        "lacks the tensor transformer.h.1.mlp.c_fc.weight": {
            "transformer.h.1.mlp.c_fc.weight": None
        },
        "tensor extra.weight, which is unknown": {"extra.weight": torch.zeros(3)},
        r"has shape \(2, 2\)": {"transformer.h.0.attn.c_proj.weight": torch.zeros(2, 2)},
        "more tokens|only 3": {"transformer.wte.weight": torch.zeros(3, WIDTH)},
    }
    for message, change in changes.items():
        new = {name: value for name, value in (state | change).items() if value is not None}
        torch.save({"model": new, "model_args": {"n_head": HEADS}}, path)
        with pytest.raises(InputError, match=message):
            read_source(path)
    torch.save({"model": state, "model_args": {"n_head": 5}}, path)
    with pytest.raises(UsageError, match="5 heads"):
        read_source(path)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UnsupportedError, match="nanoGPT or minGPT"):
        read_source(path)
    (tmp_path / "b.bin").write_bytes(b"\xff\xfe")
    torch.save({"model": state, "model_args": {"n_head": HEADS}}, path)
    with pytest.raises(InputError, match="--vocab-from makes"):
        read_source(path, Options(vocab_from=tmp_path / "b.bin"))
