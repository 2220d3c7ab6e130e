"""Formats that are refused: one sentence that says what they are and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zigllm_cli.convert.refused import recognises
from zigllm_cli.convert.source import read_source
from zigllm_cli.errors import UnsupportedError

FILES = {
    "model.onnx": (b"\x08\x08\x12\x07pytorch", "ONNX"),
    "renamed.bin": (b"\x08\x0a\x3a\x99\x01", "ONNX"),
    "saved_model.pb": (b"\x08\x01\x12\x80\x02", "SavedModel"),
    "frozen.pb": (b"\x0a\x10\x0a\x01x", "TensorFlow graph"),
    "tf_model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(9), "HDF5"),
    "lite": (b"\x1c\0\0\0TFL3" + bytes(9), "TensorFlow Lite"),
    "m.ckpt.index": (b"\0" * 40 + bytes.fromhex("57fb808b247547db"), "TensorFlow checkpoint"),
    "new.keras": (b"PK\x03\x04" + bytes(30), "Keras"),
    "ggml-model-q4_0.bin": (b"lmgg" + bytes(40), "before GGUF"),
    "ggmf": (b"fmgg\x01\0\0\0", "before GGUF"),
    "ggjt": (b"tjgg\x03\0\0\0", "before GGUF"),
    "lora.bin": (b"algg\x01\0\0\0", "PEFT"),
    "model.zigllama": (b"anything", "ZigLlama"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path) -> None:
    data, message = FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnsupportedError, match=message) as caught:
        read_source(tmp_path / name)
    assert "convert" in str(caught.value).split("which is not converted: ")[1]


def test_folders(tmp_path: Path) -> None:
    for name, message in (
        ("onnx/model.onnx", "ONNX"),
        ("1/saved_model.pb", "SavedModel"),
        ("tf_model.h5", "HDF5"),
        ("bert_model.ckpt.index", "TensorFlow checkpoint"),
        ("flax_model.msgpack", "from_flax"),
    ):
        folder = tmp_path / name.replace("/", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"\0" * 40 + bytes.fromhex("57fb808b247547db"))
        with pytest.raises(UnsupportedError, match=message):
            read_source(folder)
    with pytest.raises(UnsupportedError, match="TensorFlow checkpoint"):
        read_source(tmp_path / "bert_model.ckpt.index" / "bert_model.ckpt.index")


def test_others_are_not_touched(kit: Path, tmp_path: Path, zigllm: Any) -> None:
    for path in (kit / "models" / "qwen2" / "hf", kit / "real" / "stories260K-f32.gguf", tmp_path):
        assert not recognises(path)
    (tmp_path / "x").write_bytes(b"")
    assert not recognises(tmp_path / "x")
    done = zigllm("convert", tmp_path / "x")
    assert done.returncode == 4
    assert "none of the formats" in done.stderr
