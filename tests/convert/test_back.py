"""GGUF to folders and to GGUF again: nothing is lost, and transformers reads what was written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import converted, differences, keys, llama_folder

from zigllm_cli.app import run
from zigllm_cli.gguf import open_gguf
from zigllm_cli.quants import dequantize

MODELS = {
    "llama-gqa-spm": "llama",
    "llama3-bpe-ropescale": "llama",
    "mixtral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma": "gemma",
    "gpt2": "gpt2",
}


def zigllm(*words: str | Path) -> None:
    assert run(["convert", *map(str, words)]) == 0


def tensors(path: Path) -> dict[str, tuple[Any, ...]]:
    return {
        name: (tensor.shape, tensor.type.name, bytes(tensor.data))
        for name, tensor in open_gguf(path).tensors.items()
    }


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("model", MODELS)
def test_there_and_back(kit: Path, tmp_path: Path, model: str, kind: str) -> None:
    first, again = tmp_path / "first.gguf", tmp_path / "again.gguf"
    zigllm(kit / "models" / model / "model-f32.gguf", "-o", first, "--type", kind)
    zigllm(first, "--to-folder", "-o", tmp_path / "hf")
    pre = open_gguf(first).metadata["tokenizer.ggml.pre"]
    zigllm(tmp_path / "hf", "-o", again, "--type", kind, "--name", model, "--pre", pre)
    assert tensors(first) == tensors(again)
    one, other = keys(open_gguf(first)), keys(open_gguf(again))
    for key in one:
        if key.startswith(f"{MODELS[model]}.") or key == "tokenizer.ggml.tokens":
            assert one[key] == other[key], key


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", MODELS)
def test_transformers_reads_it(kit: Path, tmp_path: Path, model: str) -> None:
    """Equal logits, and equal ids of a text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import zigllm_cli

    source = kit / "models" / model / "model-f32.gguf"
    zigllm(source, "--to-folder", "-o", tmp_path / "hf")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    reference = np.load(source.with_name("reference.npz"))
    tokens = torch.from_numpy(reference["tokens"].astype(np.int64))[None]
    with torch.no_grad():
        logits = theirs(tokens).logits[0].numpy()
    largest = np.abs(reference["logits_hf"]).max()
    np.testing.assert_allclose(logits, reference["logits_hf"], rtol=0, atol=1e-5 * largest)
    text = "First Citizen:\nBefore we proceed any further, hear me speak."
    mine = zigllm_cli.load(source).tokenizer.encode(text, add_special=True, parse_special=False)
    assert AutoTokenizer.from_pretrained(tmp_path / "hf").encode(text) == mine


def test_quantised_files_become_half_floats(kit: Path, tmp_path: Path) -> None:
    source = kit / "models/llama-k256/model-Q4_K_M.gguf"
    zigllm(source, "--to-folder", "-o", tmp_path / "hf")
    zigllm(tmp_path / "hf", "-o", tmp_path / "out.gguf")
    old, new = (
        open_gguf(p).tensors["blk.0.attn_q.weight"] for p in (source, tmp_path / "out.gguf")
    )
    values = dequantize(old.numpy(), old.type.name, old.row_length).astype(np.float16)
    np.testing.assert_array_equal(new.numpy().view(np.float16), values)


def test_what_has_no_way_back(
    kit: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    models = kit / "models"
    out = str(tmp_path / "hf")
    for words, code, says in (
        ([models / "bloom/model-f32.gguf"], 4, "bloom models are not converted"),
        ([models / "phi3-longrope/model-f32.gguf"], 4, "phi3 models"),
        ([models / "gpt2/hf"], 2, "--to-folder converts GGUF files"),
        ([models / "gpt2/model-f32.gguf", "--type", "q8_0"], 2, "not 'q8_0'"),
        ([models / "gpt2/model-f32.gguf", "--verify"], 2, "--verify does not go with --to-folder"),
    ):
        command = ["convert", *map(str, words), "--to-folder", "-o", out]
        assert run(command) == code
        assert says in capsys.readouterr().err
    assert not (tmp_path / "hf").exists()


def test_a_folder_with_a_model_is_not_written_to(kit: Path, tmp_path: Path) -> None:
    shutil.copytree(kit / "models/gpt2/hf", tmp_path / "hf")
    before = (tmp_path / "hf/config.json").read_bytes()
    source = str(kit / "models/gpt2/model-f32.gguf")
    assert run(["convert", source, "--to-folder", "-o", str(tmp_path / "hf")]) == 2
    assert (tmp_path / "hf/config.json").read_bytes() == before


# ------------------------------------------------------------------ GGUF to GGUF


def test_a_copy_is_the_same(kit: Path, tmp_path: Path) -> None:
    source = kit / "models/llama-k256/model-Q4_K_M.gguf"
    zigllm(source, "-o", tmp_path / "out.gguf", "--verify")
    assert not set(differences(tmp_path / "out.gguf", source))


def test_split_and_merged_again(tmp_path: Path) -> None:
    whole, parts, again = (tmp_path / f"{name}.gguf" for name in ("whole", "parts", "again"))
    converted(llama_folder(tmp_path / "hf"), whole)
    zigllm(whole, "-o", parts, "--split-max-size", "20k")
    shards = sorted(tmp_path.glob("parts-*"))
    assert len(shards) > 2
    zigllm(shards[0], "-o", again)
    assert not set(differences(again, whole))


@pytest.mark.parametrize("kind", ["F16", "Q4_0", "Q4_1", "Q5_1", "Q8_0", "Q2_K", "Q3_K_M", "Q6_K"])
def test_byte_orders(kit: Path, tmp_path: Path, kind: str) -> None:
    """Big-endian files hold what gguf's reader expects there, and come back the same."""
    source = kit / f"models/llama-k256/model-{kind}.gguf"
    big, little = tmp_path / "big.gguf", tmp_path / "little.gguf"
    zigllm(source, "-o", big, "--byte-order", "big", "--verify")
    file = open_gguf(big)
    assert file.byte_order == ">"
    norm, same = file.tensors["output_norm.weight"], open_gguf(source).tensors["output_norm.weight"]
    np.testing.assert_array_equal(norm.numpy().view(">f4"), same.numpy().view("<f4"))
    zigllm(big, "-o", little)
    assert not set(differences(little, source))


def test_byte_orders_of_code_books_are_refused(
    kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(kit / "models/llama-k256/model-IQ3_S.gguf")
    out = tmp_path / "out.gguf"
    assert run(["convert", source, "-o", str(out), "--byte-order", "big"]) == 4
    assert "not turned into the other byte order" in capsys.readouterr().err
    assert not out.exists()
    assert run(["convert", source, "-o", str(out), "--byte-order", "odd"]) == 2


def test_types_of_a_file(kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = kit / "models/llama-k256/model-Q8_0.gguf"
    zigllm(source, "-o", tmp_path / "plain.gguf", "--type", "f32")
    tensor = open_gguf(source).tensors["blk.0.ffn_up.weight"]
    plain = open_gguf(tmp_path / "plain.gguf").tensors["blk.0.ffn_up.weight"]
    wanted = dequantize(tensor.numpy(), "Q8_0", tensor.row_length)
    np.testing.assert_array_equal(plain.numpy().view(np.float32), wanted)
    assert run(["convert", str(source), "-o", str(tmp_path / "x.gguf"), "--type", "q4_0"]) == 4
    assert "would lose twice" in capsys.readouterr().err
