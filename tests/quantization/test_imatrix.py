"""Importance matrices: what is summed up, and the files that hold it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_runs import MADE

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import GGUFFile, Tensor, open_gguf
from zigllm_cli.models import architecture
from zigllm_cli.plan.interpreter import Interpreter
from zigllm_cli.quantization.collect import (
    Observation,
    ObservingRunner,
    chunks_of,
    collect,
    importance_of,
    observe,
)
from zigllm_cli.quantization.importance import (
    Importance,
    Sums,
    read_importance,
    write_importance,
)

MODELS = (
    "llama-gqa-spm",
    "mixtral",
    "qwen2moe",
    "qwen3moe",
    "gpt-oss",
    "deepseek2",
    "mamba2",
    "gpt2",
    "bloom",
)


def path_of(model: str, kit: Path) -> Path:
    made = MADE / f"{model}.gguf"
    return made if made.exists() else kit / "models" / model / "model-f32.gguf"


def observed(file: GGUFFile, chunks: list[list[int]], **options: object) -> Importance:
    runner = ObservingRunner(file, threads=2, context=64, kv_type="f32", **options)
    try:
        return collect(runner, iter(chunks), Importance(chunk_size=len(chunks[0])))
    finally:
        runner.close()


def is_multiplied(tensor: Tensor) -> bool:
    """Whether it is a matrix of a layer."""
    name = tensor.name
    is_matrix = len(tensor.shape) > 1 and name.startswith("blk.") and name.endswith(".weight")
    return is_matrix and "conv1d" not in name and "norm" not in name


@pytest.mark.parametrize("model", MODELS)
def test_as_the_interpreter_sees_it(model: str, kit: Path) -> None:
    """Sums and counts of every matrix of the layers, expert and head; at once and in pieces."""
    file = open_gguf(path_of(model, kit))
    tokens = np.random.default_rng(3).integers(3, 60, 37).tolist()
    plan = architecture(file).plan(64)
    seen = observe(plan)
    Interpreter(plan).logits(tokens)
    expected = {k: v for one in seen for k, v in importance_of(one, len(tokens)).items()}
    assert set(expected) == {t.name for t in file.tensors.values() if is_multiplied(t)}
    for batch in (64, 5):
        found = observed(file, [tokens], batch=batch)
        assert found.entries.keys() == expected.keys()
        for name, entry in found.entries.items():
            size = file.tensors[name].row_length * file.tensors[name].n_elements
            assert size % entry.sums.size == 0
            assert np.array_equal(entry.counts, expected[name].counts), name
            largest = np.abs(expected[name].sums).max()
            assert np.abs(entry.sums - expected[name].sums).max() <= 1e-4 * largest, name


def test_experts_are_counted_one_by_one(kit: Path) -> None:
    file = open_gguf(path_of("qwen2moe", kit))
    found = observed(file, [list(range(3, 43)), list(range(5, 45))])
    used = file.metadata["qwen2moe.expert_used_count"]
    for part in ("gate", "up", "down"):
        entry = found.entries[f"blk.0.ffn_{part}_exps.weight"]
        assert len(entry.counts) == file.metadata["qwen2moe.expert_count"]
        assert entry.counts.sum() == 80 * int(str(used))
    for part in ("attn_q", "ffn_gate_inp"):
        assert found.entries[f"blk.0.{part}.weight"].counts.tolist() == [80]
    assert found.of(file.tensors["blk.0.ffn_down_exps.weight"]) is not None


@pytest.mark.oracle
@pytest.mark.parametrize("model", ["llama-gqa-spm", "qwen2"])
def test_as_hooks_in_transformers_see_it(model: str, kit: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = kit / "models" / model
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "hf", dtype=torch.float32)
    sums: dict[str, np.ndarray] = {}

    def look(name: str):
        def hook(module, args):
            sums[name] = sums.get(name, 0) + args[0].double().square().sum((0, 1)).numpy()

        return hook

    parts = {"q_proj": "attn_q", "o_proj": "attn_output", "up_proj": "ffn_up"}
    parts["down_proj"] = "ffn_down"
    for name, module in theirs.named_modules():
        words = name.split(".")
        if words[-1] in parts:
            module.register_forward_pre_hook(look(f"blk.{words[2]}.{parts[words[-1]]}.weight"))
    chunks = [np.random.default_rng(seed).integers(3, 60, 32).tolist() for seed in (1, 2)]
    with torch.no_grad():
        for chunk in chunks:
            theirs(torch.tensor([chunk]))
    found = observed(open_gguf(folder / "model-f32.gguf"), chunks)
    for name, expected in sums.items():
        assert np.abs(found.entries[name].sums - expected).max() <= 1e-4 * expected.max(), name
    assert len(sums) == 4 * theirs.config.num_hidden_layers


def test_chunks() -> None:
    assert list(chunks_of([1, 2, 3, 4, 5], 2, 9)) == [[9, 2], [9, 4]]
    assert list(chunks_of([1, 2, 3, 4], 2, None)) == [[1, 2], [3, 4]]
    assert list(chunks_of([1, 2, 3], 4, None)) == []


def example() -> Importance:
    rng = np.random.default_rng(0)
    entries = {
        "blk.0.attn_q.weight": Sums(rng.random(8, np.float32) * 100, np.array([64])),
        "blk.0.ffn_up_exps.weight": Sums(rng.random(24, np.float32) * 9, np.array([3, 0, 61])),
    }
    return Importance(entries, ["a text"], chunks=2, chunk_size=32)


def test_ctrl_c_while_sums_are_taken_leaves_whole_chunks(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk counts with all of its matrices or not at all: --resume would add it twice."""
    file = open_gguf(path_of("llama-gqa-spm", kit))
    chunks = [[1, 5, 9, 7], [1, 6, 2, 8]]
    first = observed(file, chunks[:1])
    calls = 0

    def interrupted(seen: Observation, rows: int) -> dict[str, Sums]:
        nonlocal calls
        calls += 1
        if calls == len(runner.observations) + 2:
            raise KeyboardInterrupt
        return importance_of(seen, rows)

    monkeypatch.setattr("zigllm_cli.quantization.collect.importance_of", interrupted)
    runner = ObservingRunner(file, threads=2, context=64, kv_type="f32")
    found = Importance(chunk_size=4)
    try:
        with pytest.raises(KeyboardInterrupt):
            collect(runner, iter(chunks), found)
    finally:
        runner.close()
    assert found.chunks == 1
    assert found.entries.keys() == first.entries.keys()
    for name, entry in found.entries.items():
        np.testing.assert_array_equal(entry.sums, first.entries[name].sums)
        assert entry.counts.tolist() == first.entries[name].counts.tolist()


@pytest.mark.parametrize("form", ["gguf", "dat"])
def test_files_keep_what_a_column_costs(form: str, tmp_path: Path) -> None:
    """The older format keeps means alone: rows of an expert are not known from it."""
    found = example()
    write_importance(found, tmp_path / "m", form)
    back = read_importance(tmp_path / "m")
    assert back.datasets == ["a text"]
    assert back.chunks == 2
    for name, entry in found.entries.items():
        assert np.allclose(back.entries[name].means(), entry.means(), rtol=1e-6)
    if form == "gguf":
        assert back.entries["blk.0.ffn_up_exps.weight"].counts.tolist() == [3, 0, 61]


def test_a_file_read_by_the_gguf_package(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    write_importance(example(), tmp_path / "m.gguf")
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert list(tensors["blk.0.ffn_up_exps.weight.in_sum2"].shape) == [8, 3]
    assert list(tensors["blk.0.ffn_up_exps.weight.counts"].shape) == [1, 3]
    assert tensors["blk.0.ffn_up_exps.weight.counts"].data.ravel().tolist() == [3, 0, 61]


@pytest.mark.parametrize("cut", [1, 4, 20, 60, -40])
def test_damaged_files(cut: int, tmp_path: Path) -> None:
    for form in ("gguf", "dat"):
        write_importance(example(), tmp_path / "m", form)
        data = (tmp_path / "m").read_bytes()
        (tmp_path / "cut").write_bytes(data[:cut])
        with pytest.raises(InputError):
            read_importance(tmp_path / "cut")


def test_what_is_not_finite(tmp_path: Path) -> None:
    found = example()
    found.entries["blk.0.attn_q.weight"].sums[3] = np.inf
    write_importance(found, tmp_path / "m")
    with pytest.raises(InputError, match="not finite"):
        read_importance(tmp_path / "m")
