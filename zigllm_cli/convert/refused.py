"""Formats that are known and not converted, and what to do instead.

They are told by their first bytes, or by the files of a folder; by name only where a format has no
sign of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zigllm_cli.convert.conversion import Conversion, Options
from zigllm_cli.errors import UnsupportedError

HEAD, TAIL = 64, 8
"""Bytes at the beginning and at the end of a file that are looked at."""

AGAIN = "convert the model that it was made from: its Hugging Face folder, or a GGUF file of it"
WITH_TRANSFORMERS = (
    "read it with transformers 4, from_pretrained(FOLDER, from_tf=True).save_pretrained(NEW), and"
    " convert NEW"
)


@dataclass(frozen=True)
class Format:
    """One such format.

    Attributes:
        what: it is, behind "PATH is".
        instead: what to do.
        is_it: told from the first bytes and the last, in `HEAD` and `TAIL`.
        suffix: of a name that says it too; "" where bytes alone do.
        files: of a folder, any of which says it (patterns).
    """

    what: str
    instead: str
    is_it: Callable[[bytes, bytes], bool] = lambda head, tail: False
    suffix: str = ""
    files: tuple[str, ...] = ()


def _starts(*starts: bytes) -> Callable[[bytes, bytes], bool]:
    return lambda head, tail: head.startswith(starts)


ONNX_START = re.compile(rb"\x08[\x02-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]")
"""A ModelProto: ir_version, then any of the fields 2 to 8. Safetensors have a { in ninth place."""

TABLE_END = bytes.fromhex("57fb808b247547db")
"""Of an SSTable, which the index of a TensorFlow checkpoint is."""

FORMATS = (
    Format(
        "an ONNX graph",
        f"its weights have lost the names that say what they are; {AGAIN}",
        lambda head, tail: bool(ONNX_START.match(head)) and head[8:9] != b"{",
        suffix=".onnx",
        files=("*.onnx", "onnx/*.onnx"),
    ),
    Format(
        "a TensorFlow SavedModel",
        WITH_TRANSFORMERS,
        _starts(b"\x08\x01\x12"),
        files=("saved_model.pb", "*/saved_model.pb"),
    ),
    Format("a TensorFlow graph", AGAIN, suffix=".pb"),
    Format(
        "an HDF5 file of Keras or TensorFlow",
        WITH_TRANSFORMERS,
        _starts(b"\x89HDF\r\n\x1a\n"),
        suffix=".h5",
        files=("tf_model.h5", "*.h5"),
    ),
    Format("a Keras archive", AGAIN, suffix=".keras"),
    Format("a TensorFlow Lite model", AGAIN, lambda head, tail: head[4:8] == b"TFL3"),
    Format(
        "a TensorFlow checkpoint",
        WITH_TRANSFORMERS,
        lambda head, tail: tail == TABLE_END,
        files=("*.ckpt.index", "model.ckpt-*.index"),
    ),
    Format(
        "a Flax checkpoint",
        WITH_TRANSFORMERS.replace("from_tf", "from_flax"),
        files=("flax_model.msgpack",),
    ),
    Format("a GGML file, of the formats before GGUF", AGAIN, _starts(b"lmgg", b"fmgg", b"tjgg")),
    Format(
        "a GGLA file, an adapter of the format before GGUF",
        "convert the PEFT folder that it was made from",
        _starts(b"algg"),
    ),
    Format("a ZigLlama file", AGAIN, suffix=".zigllama"),
)


def recognises(path: Path) -> bool:
    """Whether it is one of these."""
    return _format_of(path) is not None


def read(path: Path, options: Options) -> Conversion:
    """Nothing.

    Raises:
        UnsupportedError: always; it says what to do instead.
    """
    found = _format_of(path)
    assert found is not None, "only recognised files are read"
    raise UnsupportedError(f"{path} is {found.what}, which is not converted: {found.instead}")


def _format_of(path: Path) -> Format | None:
    if path.is_dir():
        return next((f for f in FORMATS if any(any(path.glob(x)) for x in f.files)), None)
    index = Path(f"{path}.index")
    if index.is_file():  # a TensorFlow checkpoint is named by what its files begin with
        path = index
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(max(path.stat().st_size - TAIL, 0))
        tail = file.read(TAIL)
    by_bytes = (f for f in FORMATS if f.is_it(head, tail))
    by_name = (f for f in FORMATS if f.suffix and path.suffix.lower() == f.suffix)
    return next(by_bytes, None) or next(by_name, None)
