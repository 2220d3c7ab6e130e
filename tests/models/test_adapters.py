"""Low-rank adapters: beside merged weights, beside llama.cpp, in every cut of the batch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_runs import MADE, distance, interleaved, logits, runner

from zigllm_cli import load
from zigllm_cli.engine.fingerprint import fingerprint
from zigllm_cli.engine.runner import Runner
from zigllm_cli.errors import InputError, UnsupportedError, UsageError
from zigllm_cli.gguf import ValueType, open_gguf, tensor_type
from zigllm_cli.gguf.entry import Entry
from zigllm_cli.gguf.writer import TensorPlan, write_gguf
from zigllm_cli.models.adapters import attach, parse_spec

F32 = tensor_type("F32")


def write_adapter(
    path: Path,
    base: Path,
    names: str,
    rank: int = 3,
    alpha: float = 6.0,
    seed: int = 0,
    **keys: str,
) -> Path:
    """An adapter of random numbers for all tensors whose name fits a pattern."""
    rng, file, plans = np.random.default_rng(seed), open_gguf(base), []
    for name, tensor in file.tensors.items():
        if not re.fullmatch(names, name):
            continue
        columns, rows, *experts = tensor.shape
        shapes = {"a": (*experts, rank, columns), "b": (*experts, rows, rank)}
        if name == "token_embd.weight":
            shapes = {"a": (rows, rank), "b": (columns, rank)}
        for half, shape in shapes.items():
            values = rng.normal(0, 0.3 / columns**0.25, shape).astype(np.float32)
            plans.append(plan(f"{name}.lora_{half}", values))
    assert plans
    texts = {"general.type": "adapter", "general.architecture": file.architecture}
    texts |= {"adapter.type": "lora"} | {
        key.replace("_", "."): value for key, value in keys.items()
    }
    entries = [Entry.make(key, ValueType.STRING, value) for key, value in texts.items()]
    entries.append(Entry.make("adapter.lora.alpha", ValueType.FLOAT32, alpha))
    write_gguf(path, entries, plans)
    return path


def plan(name: str, values: Any) -> TensorPlan:
    return TensorPlan(name, values.shape[::-1], F32, lambda: [np.ascontiguousarray(values).data])


def merged(path: Path, base: Path, adapters: Sequence[tuple[Path, float]]) -> Path:
    """The base with the changes added to its weights, in float64."""
    file, plans = open_gguf(base), []
    opened = [(open_gguf(adapter), scale) for adapter, scale in adapters]
    for name, tensor in file.tensors.items():
        values = tensor.numpy().view("<f4").astype(np.float64).reshape(tensor.shape[::-1])
        for adapter, scale in opened:
            if f"{name}.lora_a" not in adapter.tensors:
                continue
            a, b = (
                t.numpy().view("<f4").astype(np.float64).reshape(t.shape[::-1])
                for t in (adapter.tensors[f"{name}.lora_{half}"] for half in "ab")
            )
            factor = scale * adapter.metadata["adapter.lora.alpha"] / b.shape[-1]
            values += factor * (a @ b.T if name == "token_embd.weight" else b @ a)
        plans.append(plan(name, values.astype(np.float32)))
    layout = file.headers[0].layout
    write_gguf(path, [Entry.copy(f, layout) for f in file.metadata.fields.values()], plans)
    return path


ALL = r"blk\.\d+\.(attn|ffn|ssm)_.*(?<!norm)(?<!ssm_conv1d)\.weight|output\.weight"
MODELS = {
    "kit:llama-gqa-spm": ALL,
    "kit:gpt2": ALL,
    "kit:phi3-longrope": ALL,
    "kit:mixtral": ALL,
    "kit:qwen2moe": r".*(_exps|_shexp|gate_inp|attn_v)\.weight",
    "kit:mamba": r".*ssm_(in|out|x|dt)\.weight",
}


def path_of(name: str, kit: Path) -> Path:
    kind, _, model = name.partition(":")
    return kit / "models" / model / "model-f32.gguf" if kind == "kit" else MADE / f"{model}.gguf"


def tokens_of(file: Path, count: int) -> list[int]:
    rows = open_gguf(file).tensors["token_embd.weight"].rows
    return [int(x) for x in np.random.default_rng(5).integers(3, rows, count)]


def run_with(path: Path, adapters: Sequence[tuple[Path, float]], **options: Any) -> Runner:
    file = open_gguf(path)
    attach(file, adapters)
    return Runner(file, **{"threads": 2, "context": 64, "kv_type": "f32", **options})


@pytest.mark.parametrize("name", MODELS)
def test_as_if_merged(name: str, kit: Path, tmp_path: Path) -> None:
    base = path_of(name, kit)
    adapters = [
        (write_adapter(tmp_path / "a.gguf", base, MODELS[name]), 1.0),
        (write_adapter(tmp_path / "b.gguf", base, MODELS[name], rank=17, seed=1), -0.5),
    ]
    tokens = tokens_of(base, 40)
    with runner(merged(tmp_path / "m.gguf", base, adapters), context=64) as run:
        wanted = logits(run, tokens, 40)
    with runner(base, context=64) as run:
        assert distance(logits(run, tokens, 40), wanted) > 0.05
    run = run_with(base, adapters, sequences=2)
    for piece in (1, 3, 40):
        assert distance(logits(run, tokens, piece), wanted) < 2e-5, piece
    assert distance(interleaved(run, tokens, 7, 0, 1)[: len(wanted)], wanted) < 2e-5
    run.close()


@pytest.mark.oracle
@pytest.mark.parametrize("name", [*MODELS, "made:cohere2", "embeddings"])
def test_as_llama_cpp(name: str, kit: Path, tmp_path: Path) -> None:
    import llama_cpp_runs

    names = {**MODELS, "made:cohere2": ALL}.get(name, r"token_embd\.weight|.*attn_q\.weight")
    base = path_of("kit:llama-gqa-spm" if name == "embeddings" else name, kit)
    adapters = [
        (write_adapter(tmp_path / "a.gguf", base, names), 0.75),
        (write_adapter(tmp_path / "b.gguf", base, names, rank=8, alpha=0.0, seed=1), 0.2),
    ]
    tokens = tokens_of(base, 30)
    wanted = llama_cpp_runs.logits(base, tokens, 64, adapters)
    run = run_with(base, adapters)
    assert distance(logits(run, tokens, 30), wanted) < 1e-3  # its GELU is a table of half floats
    run.close()


def test_load_and_quantised_weights(kit: Path, tmp_path: Path) -> None:
    """A change is as exact beside quantised weights as beside floats."""
    base = kit / "real" / "stories260K-Q8_0.gguf"
    adapter = write_adapter(tmp_path / "a.gguf", base, r".*attn_(q|output)\.weight")
    tokens = tokens_of(base, 20)
    plain, changed = load(base, ctx=64), load(base, ctx=64, lora=f"{adapter}=0.5")
    none, twice = (
        load(base, ctx=64, lora=[(adapter, 0)]),
        load(base, ctx=64, lora=[adapter, adapter]),
    )
    assert np.array_equal(plain.logits(tokens), none.logits(tokens))
    assert distance(changed.logits(tokens), plain.logits(tokens)) > 0.02
    double = load(base, ctx=64, lora=[f"{adapter}=2"]).logits(tokens)
    assert distance(twice.logits(tokens), double) < 1e-5
    prints = {fingerprint(model.file) for model in (plain, changed, none, twice)}
    assert len(prints) == 4


def test_commands(kit: Path, tmp_path: Path, zigllm: Any) -> None:
    base = kit / "real" / "stories260K-f32.gguf"
    adapter = write_adapter(tmp_path / "a.gguf", base, r".*ffn_down\.weight", alpha=90.0)
    texts = [
        zigllm("generate", "-m", base, "Once", "-n", "12", "--temp", "0", *more).stdout
        for more in ([], ["--lora", adapter], ["--lora", f"{adapter}=0"])
    ]
    assert texts[0] == texts[2] != texts[1]
    wrong = zigllm("generate", "-m", "builtin", "Once", "--lora", adapter)
    assert wrong.returncode == 3
    assert "which do not fit" in wrong.stderr
    wrong = zigllm("generate", "-m", adapter, "Once")
    assert wrong.returncode == 2
    assert "--lora" in wrong.stderr
    assert zigllm("inspect", adapter, "--check").returncode == 0
    done = zigllm("bench", "-m", base, "-p", "8", "-n", "2", "-r", "1", "--lora", adapter)
    assert done.returncode == 0, done.stderr


def test_what_is_wrong_is_a_sentence(kit: Path, tmp_path: Path) -> None:
    base = kit / "models" / "llama-gqa-spm" / "model-f32.gguf"
    good = write_adapter(tmp_path / "good.gguf", base, r"blk\.0\.ffn_up\.weight")
    file = open_gguf(kit / "models" / "qwen2" / "model-f32.gguf")
    with pytest.raises(UnsupportedError, match="is for llama, but the model is qwen2"):
        attach(file, [good])
    file = open_gguf(kit / "real" / "stories260K-f32.gguf")
    with pytest.raises(InputError, match="do not fit its shape"):
        attach(file, [good])
    file = open_gguf(base)
    with pytest.raises(InputError, match="is a model, not an adapter"):
        attach(file, [base])
    bad = tmp_path / "bad.gguf"
    write_adapter(bad, base, r"blk\.0\.attn_q\.weight", adapter_type="control")
    with pytest.raises(UnsupportedError, match="only lora"):
        attach(file, [bad])
    texts = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}
    entries = [Entry.make(key, ValueType.STRING, value) for key, value in texts.items()]
    values = np.zeros((2, 2), np.float32)
    for names, error, message in (
        (["blk.0.attn_q.weight.lora_a"], InputError, "one half"),
        (["blk.0.attn_q.weight"], UnsupportedError, "no low-rank change"),
        ([], InputError, "no tensors"),
        (["blk.99.attn_q.weight.lora_a", "blk.99.attn_q.weight.lora_b"], InputError, "has not"),
        (["output_norm.weight.lora_a", "output_norm.weight.lora_b"], InputError, "do not fit"),
    ):
        write_gguf(bad, entries, [plan(name, values) for name in names])
        with pytest.raises(error, match=message):
            attach(file, [bad])
    for spec in (f"{good}=much", f"{good}=inf", str(tmp_path)):
        with pytest.raises(UsageError):
            attach(file, [spec])
    assert parse_spec("a=b=0.5") == (Path("a=b"), 0.5)
    assert not file.adapters
    deepseek = MADE / "deepseek2.gguf"
    file = open_gguf(deepseek)
    attach(file, [write_adapter(bad, deepseek, r"blk\.0\.attn_k_b\.weight")])
    with pytest.raises(UnsupportedError, match="--merge-lora"):
        Runner(file, context=32)
