"""Files of the kit made again from the F32 file beside them, and what a quantised file is like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_model import RANDOM_MODEL

from zigllm_cli.errors import InputError, UnsupportedError, UsageError, ZigllmError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.gguf.edit import copy_gguf
from zigllm_cli.quantization.decisions import Wishes, decide, parse_tensor_type
from zigllm_cli.quantization.file_types import file_type
from zigllm_cli.quantization.importance import Importance, Sums, read_importance
from zigllm_cli.quantization.write import write_quantized

FOLDERS = {"models/llama-k256": "model-", "models/qwen2-k256": "model-", "real": "stories260K-"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_recorded_files(kit: Path, folder: str, tmp_path: Path) -> None:
    """Byte for byte, metadata included."""
    start, target = kit / folder / FOLDERS[folder], tmp_path / "out.gguf"
    source = open_gguf(f"{start}f32.gguf")
    count = 0
    for path in sorted(start.parent.glob(f"{start.name}*.gguf")):
        name = path.stem.removeprefix(start.name)
        if name == "f32":
            continue
        importance = read_importance(start.parent / "imatrix.gguf") if name == "IQ3_XXS" else None
        decisions = decide(source, file_type(name), Wishes(), has_importance=importance is not None)
        write_quantized(
            source, target, decisions, importance, importance_file="imatrix.gguf", threads=2
        )
        assert target.read_bytes() == path.read_bytes(), name
        count += 1
    assert count >= 2


def test_requantize_only_when_asked(tmp_path: Path) -> None:
    file = open_gguf(RANDOM_MODEL)
    with pytest.raises(UnsupportedError, match="--allow-requantize"):
        decide(file, file_type("Q8_0"), Wishes())
    decisions = decide(file, file_type("Q8_0"), Wishes(allow_requantize=True))
    write_quantized(file, tmp_path / "o.gguf", decisions, threads=2)
    new = open_gguf(tmp_path / "o.gguf")
    assert new.metadata["general.file_type"] == 7
    assert {t.type.name for t in new.tensors.values()} == {"F32", "Q8_0"}


def test_copy_and_prune(kit: Path, tmp_path: Path) -> None:
    file = open_gguf(kit / "real" / "stories260K-f32.gguf")
    decisions = decide(file, file_type("COPY"), Wishes(prune_layers=frozenset({1, 3})))
    write_quantized(file, tmp_path / "o.gguf", decisions)
    new = open_gguf(tmp_path / "o.gguf")
    assert new.metadata["llama.block_count"] == 3
    for layer, old in enumerate((0, 2, 4)):
        found = new.tensors[f"blk.{layer}.attn_q.weight"].data
        assert found == file.tensors[f"blk.{old}.attn_q.weight"].data
    with pytest.raises(UsageError, match="no layer 7"):
        decide(file, file_type("COPY"), Wishes(prune_layers=frozenset({7})))


def test_keep_split(kit: Path, tmp_path: Path) -> None:
    whole = open_gguf(kit / "real" / "stories260K-f32.gguf")
    copy_gguf(whole, tmp_path / "in.gguf", split_max_tensors=20)
    file = open_gguf(tmp_path / "in-00001-of-00003.gguf")
    wishes = Wishes(keep_split=True)
    paths = write_quantized(
        file, tmp_path / "out.gguf", decide(file, file_type("Q8_0"), wishes), keep_split=True
    )
    assert [path.name for path in paths] == [f"out-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    new = open_gguf(paths[0])
    merged = write_quantized(whole, tmp_path / "m.gguf", decide(whole, file_type("Q8_0"), Wishes()))
    one = open_gguf(merged[0])
    assert list(new.tensors) == list(file.tensors)
    for name, tensor in one.tensors.items():
        assert new.tensors[name].data == tensor.data
    whole_again = write_quantized(
        file, tmp_path / "w.gguf", decide(file, file_type("Q8_0"), Wishes())
    )
    assert whole_again[0].read_bytes() == merged[0].read_bytes()


def test_the_users_exceptions(kit: Path) -> None:
    file = open_gguf(kit / "models" / "llama-k256" / "model-f32.gguf")
    wishes = Wishes(
        tensor_types=(parse_tensor_type("FFN_DOWN=q8_0"), parse_tensor_type(r"blk\.0\.attn_.=f16")),
        token_embedding_type=file_type("Q8_0").default,
    )
    types = {row.name: row.type.name for row in decide(file, file_type("Q4_K_M"), wishes).rows}
    assert types["blk.0.ffn_down.weight"] == "Q8_0"
    assert types["blk.0.attn_q.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == "Q4_K"
    assert types["token_embd.weight"] == "Q8_0"
    pure = decide(file, file_type("Q4_K_M"), Wishes(pure=True)).rows
    assert {row.type.name for row in pure} == {"F32", "Q4_K"}
    for bad in ("attn_q", "=q8_0", "attn(=q8_0", "attn_q=q9"):
        with pytest.raises(UsageError):
            parse_tensor_type(bad)


def test_importance_is_asked_for(kit: Path, tmp_path: Path) -> None:
    file = open_gguf(kit / "models" / "llama-k256" / "model-f32.gguf")
    decisions = decide(file, file_type("IQ2_XS"), Wishes())
    with pytest.raises(ZigllmError, match="--imatrix"):
        write_quantized(file, tmp_path / "o.gguf", decisions)
    wrong = Importance({"blk.0.attn_q.weight": Sums(np.ones(7, np.float32), np.array([1]))})
    decisions = decide(file, file_type("Q4_K_M"), Wishes(), has_importance=True)
    with pytest.raises(InputError, match="made for another model"):
        write_quantized(file, tmp_path / "o.gguf", decisions, wrong)
    assert not list(tmp_path.iterdir())


def test_broken_values_leave_nothing(kit: Path, tmp_path: Path) -> None:
    source = kit / "models" / "llama-k256" / "model-f32.gguf"
    broken = tmp_path / "in.gguf"
    data = bytearray(source.read_bytes())
    place = open_gguf(source).tensors["blk.0.ffn_up.weight"].offset
    data[place : place + 4] = np.float32(np.nan).tobytes()
    broken.write_bytes(data)
    file = open_gguf(broken)
    decisions = decide(file, file_type("Q8_0"), Wishes())
    with pytest.raises(InputError, match=r"blk\.0\.ffn_up\.weight.*not a number"):
        write_quantized(file, tmp_path / "o.gguf", decisions, threads=2)
    with pytest.raises(UsageError, match="being read"):
        write_quantized(file, broken, decisions)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gguf"]


def test_dimensions_of_one_go(kit: Path, tmp_path: Path) -> None:
    """A matrix of one row becomes a vector, as in llama-quantize's files of this model."""
    file = open_gguf(kit / "models" / "qwen2moe" / "model-f32.gguf")
    name = "blk.0.ffn_gate_inp_shexp.weight"
    assert file.tensors[name].shape == (64, 1)
    decisions = decide(file, file_type("Q8_0"), Wishes())
    write_quantized(file, tmp_path / "o.gguf", decisions, threads=2)
    assert open_gguf(tmp_path / "o.gguf").tensors[name].shape == (64,)
