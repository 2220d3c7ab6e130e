"""`zigllm convert` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conversions import llama_folder, llama_tensors

from zigllm_cli.app import run
from zigllm_cli.gguf import open_gguf
from zigllm_cli.quants import quantize


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return llama_folder(tmp_path / "small")


def test_a_summary_of_what_was_converted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.gguf"
    assert run(["convert", str(folder), "-o", str(out), "--verify"]) == 0
    told = capsys.readouterr()
    assert "Hugging Face folder, LlamaForCausalLM" in told.out
    assert "F16: 16 F16, 5 F32" in told.out
    assert "verified: 5 tensors are exactly those of the source" in told.out
    assert "no tokenizer" in told.err
    assert open_gguf(out).metadata["general.name"] == "small"


def test_beside_the_source_by_default(folder: Path) -> None:
    assert run(["convert", str(folder), "--type", "bf16", "--name", "Mine"]) == 0
    file = open_gguf(folder.parent / "small-BF16.gguf")
    assert file.metadata["general.name"] == "Mine"
    assert file.tensors["output.weight"].type.name == "BF16"


@pytest.mark.parametrize("kind", ["q8_0", "Q4_0", "iq4_nl"])
def test_any_type(folder: Path, tmp_path: Path, kind: str) -> None:
    """The bytes of the encoder that `quantize` uses, from values as they lie in the source."""
    out = tmp_path / "out.gguf"
    assert run(["convert", str(folder), "-o", str(out), "--type", kind, "--verify"]) == 0
    tensor = open_gguf(out).tensors["blk.0.attn_v.weight"]
    values = llama_tensors()["model.layers.0.self_attn.v_proj.weight"]
    np.testing.assert_array_equal(tensor.numpy(), quantize(values, tensor.type.name))
    assert tensor.type.name in (kind.upper(), "Q5_0")


def test_as_quantizing_the_exact_file(folder: Path, tmp_path: Path) -> None:
    exact, twice, once = (tmp_path / f"{name}.gguf" for name in ("exact", "twice", "once"))
    assert run(["convert", str(folder), "-o", str(exact), "--type", "f32"]) == 0
    assert run(["quantize", str(exact), str(twice), "Q4_0"]) == 0
    assert run(["convert", str(folder), "-o", str(once), "--type", "q4_0"]) == 0
    one, two = open_gguf(once).tensors, open_gguf(twice).tensors
    assert [(t.name, t.type, bytes(t.data)) for t in one.values()] == [
        (t.name, t.type, bytes(t.data)) for t in two.values()
    ]


def test_a_dry_run_writes_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.gguf"
    assert run(["convert", str(folder), "-o", str(out), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not out.exists()
    assert told["architecture"] == "llama"
    assert {row["name"] for row in told["tensors"]} >= {"output.weight", "blk.1.ffn_up.weight"}


def test_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.gguf"
    assert run(["convert", str(folder), "-o", str(out), "--verify", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == [str(out)]
    assert told["verified"]["exact"] == 5
    assert (
        told["parameters"]
        == open_gguf(out).tensors["output.weight"].n_elements * 2
        + sum(
            tensor.n_elements for name, tensor in open_gguf(out).tensors.items() if "blk." in name
        )
        + 32
    )


def test_several_files(folder: Path, tmp_path: Path) -> None:
    words = ["convert", str(folder), "-o", str(tmp_path / "out.gguf"), "--type", "f32"]
    assert run([*words, "--split-max-size", "20k", "--verify"]) == 0
    files = sorted(tmp_path.glob("out-*.gguf"))
    assert len(files) > 1
    assert len(open_gguf(files[0]).tensors) == 21


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["missing"], 3, "there is no file or folder missing"),
        (["."], 4, "none of the formats"),
        (["FOLDER", "--type", "q9"], 2, "not a type"),
        (["FOLDER", "--split-max-size", "big"], 2, "--split-max-size 'big' is not a size"),
        (["FOLDER", "-o", "FOLDER/model.safetensors"], 2, "is the file being read"),
    ],
)
def test_errors_are_one_sentence(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert run(["convert", *(word.replace("FOLDER", str(folder)) for word in words)]) == code
    told = capsys.readouterr().err
    assert told.startswith("zigllm: ")
    assert says in told
    assert told.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_file_is_noticed(folder: Path, tmp_path: Path) -> None:
    from zigllm_cli.convert.source import read_source
    from zigllm_cli.convert.types import chosen_type, decide_types
    from zigllm_cli.convert.verify import verify
    from zigllm_cli.convert.write import write_conversion
    from zigllm_cli.errors import ZigllmError

    conversion = read_source(folder)
    decisions = decide_types(conversion, chosen_type(conversion, "q8_0"))
    (path,) = write_conversion(conversion, tmp_path / "out.gguf", decisions)
    assert verify(conversion, decisions, path).exact == 5
    tensor = open_gguf(path).tensors["blk.0.ffn_up.weight"]
    content = bytearray(path.read_bytes())
    content[tensor.offset + 1] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ZigllmError, match=r"blk\.0\.ffn_up\.weight has other values"):
        verify(conversion, decisions, path)
