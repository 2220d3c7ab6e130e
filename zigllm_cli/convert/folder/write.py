"""Write a GGUF file as a Hugging Face folder; nothing appears before all is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zigllm_cli.atomic import AtomicFiles
from zigllm_cli.convert.conversion import Conversion
from zigllm_cli.convert.folder.targets import target_of
from zigllm_cli.convert.folder.tensors import folder_tensors
from zigllm_cli.convert.folder.tokenizer import tokenizer_files
from zigllm_cli.convert.hf.card import SAMPLING
from zigllm_cli.convert.values import Values
from zigllm_cli.errors import InputError, UsageError, reason_of
from zigllm_cli.gguf.types import TensorType, tensor_type
from zigllm_cli.gguf.writer import Progress
from zigllm_cli.jit import Kernel, compile_missing
from zigllm_cli.quantization.convert import Converter, kernels_of
from zigllm_cli.quantization.decisions import Decision

TYPES = ("F32", "F16", "BF16")
CHUNK = 8 << 20
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def folder_rows(model: Conversion, type_name: str) -> list[Decision]:
    """The tensors under transformers' names, and the type of each.

    Args:
        type_name: of matrices: auto keeps plain types and makes F16 of quantised ones.

    Raises:
        UsageError: another type.
        UnsupportedError: an architecture without a way back.
    """
    wanted = type_name.upper()
    if wanted not in ("AUTO", *TYPES):
        raise UsageError(f"a folder's type is auto, f32, f16 or bf16, not {type_name!r}")
    tensors = folder_tensors(model, target_of(model))
    return [_decision(model, name, values, wanted) for name, values in tensors]


def write_folder(
    model: Conversion,
    folder: Path,
    rows: list[Decision],
    *,
    threads: int = 1,
    compiling: Callable[[int, int], None] | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the model of a GGUF file; returns the files.

    Args:
        rows: what `folder_rows` has decided.
        progress: told the bytes that were written since the last call.

    Raises:
        InputError: there is no place to write.
        UsageError: the folder holds a model already.
    """
    if (folder / "config.json").exists():
        raise UsageError(f"{folder} holds a model already; name another folder")
    compile_missing(_kernels(model, rows), compiling)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason_of(error)}") from None
    texts = {
        "config.json": _json(config_of(model, rows)),
        "generation_config.json": _json(_generation(model)),
        **dict(tokenizer_files(model)),
    }
    with AtomicFiles() as files, Converter(threads) as converter:
        with files.create(folder / "model.safetensors") as out:
            out.write(_table(rows))
            for row in rows:
                for chunk in _chunks(row, converter):
                    out.write(chunk)
                    if progress is not None:
                        progress(len(chunk))
        for name, content in texts.items():
            with files.create(folder / name) as out:
                out.write(content)
    return [folder / name for name in (*texts, "model.safetensors")]


def _decision(model: Conversion, name: str, values: Values, wanted: str) -> Decision:
    """A tensor under transformers' name and its type; vectors stay as they are."""
    source = model.tensors[name]
    kind: TensorType = source.type
    if source.type.is_quantized:
        kind = tensor_type("F16" if wanted == "AUTO" else wanted)
    elif wanted != "AUTO" and len(source.shape) > 1:
        kind = tensor_type(wanted)
    tensor = values.becomes(values.name)
    return Decision(tensor, tensor.name, kind)


def _kernels(model: Conversion, rows: list[Decision]) -> list[Kernel]:
    quantised = {t.type.name for t in model.tensors.values() if t.type.is_quantized}
    needed = [Kernel("dequantize", (name,)) for name in sorted(quantised)]
    for row in rows:
        if row.changes:
            needed += kernels_of(row, None)
    return list(dict.fromkeys(needed))


def _chunks(row: Decision, converter: Converter) -> Iterator[memoryview]:
    if row.changes:
        yield from (piece.data for piece in converter.chunks(row, None))
        return
    data = row.tensor.numpy().reshape(-1).data
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]
    row.tensor.forget(0, row.tensor.nbytes)


def _table(rows: list[Decision]) -> bytes:
    """The head of a safetensors file, padded to a multiple of eight bytes."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for row in rows:
        shape = list(reversed(row.tensor.shape))
        end = place + row.nbytes
        table[row.name] = {"dtype": row.type.name, "shape": shape, "data_offsets": [place, end]}
        place = end
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head


def config_of(model: Conversion, rows: list[Decision]) -> dict[str, Any]:
    """`config.json`."""
    target = target_of(model)
    matrices = [row.type.name for row in rows if len(row.tensor.shape) > 1]
    tokens = model.metadata.get("tokenizer.ggml.tokens")
    embedding = model.tensors["token_embd.weight"].shape
    config = {
        "architectures": [target.model_class],
        "model_type": target.model_type,
        "dtype": DTYPES.get(max(set(matrices), key=matrices.count), "float32"),
        "vocab_size": embedding[-1] if embedding else len(tokens or ()),
        "tie_word_embeddings": "output.weight" not in model.tensors,
        **target.config(model),
    }
    for kind, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        number = model.metadata.get(f"tokenizer.ggml.{key}_token_id")
        if number is not None:
            config[f"{kind}_token_id"] = number
    return config


def _generation(model: Conversion) -> dict[str, Any]:
    """`generation_config.json`: ids, and how to draw."""
    found: dict[str, Any] = {}
    for kind in ("bos", "eos"):
        number = model.metadata.get(f"tokenizer.ggml.{kind}_token_id")
        if number is not None:
            found[f"{kind}_token_id"] = number
    for key, (_, name) in SAMPLING.items():
        value = model.metadata.get(f"general.sampling.{key}")
        if value is not None:
            found[name] = value
            found["do_sample"] = True
    return found


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()
