"""llama2.c's model.bin, versions 0 to 2, with the tokenizer.bin beside it.

    version 0   seven numbers; tensors as float32, by kind; tables of rotary angles, not needed;
                a vocabulary size below 0 says that the head is a matrix of its own
    version 1   "ak42", version, the numbers, whether the head is shared; 256 bytes; norms, then
                matrices, as float32
    version 2   the same, and a group size; norms as float32; each matrix as int8 [values], then
                float32 [values / group size] scales
    tokenizer   length of the longest token; for each: score, length, bytes

The numbers: width, feed-forward width, layers, heads, key-value heads, vocabulary, context. Rotary
pairs are neighbours, as in GGUF: nothing is permuted. Source: `export.py` and `tokenizer.py` of
karpathy/llama2.c.

    shape       the numbers, and the tensors that they make
    tokenizer   the vocabulary
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli.convert.conversion import Conversion, Keys, Options, SourceTensor
from zigllm_cli.convert.llama2c.shape import HEADER_BYTES, MAGIC, Shape, read_shape, version_0
from zigllm_cli.convert.llama2c.tokenizer import read_tokenizer
from zigllm_cli.convert.values import Values
from zigllm_cli.convert.vocabularies import filled, vocabulary_from
from zigllm_cli.errors import InputError
from zigllm_cli.gguf.model_file import forget
from zigllm_cli.gguf.types import tensor_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

NORM_EPSILON = 1e-5
ROPE_BASE = 10000.0

TOKENIZER = "tokenizer.bin"


def recognises(path: Path) -> bool:
    """A file that begins with "ak42", or with seven numbers that give exactly its size."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if start.startswith(MAGIC):
        return True
    shape = version_0(start)
    return shape is not None and shape.size == path.stat().st_size


def read(path: Path, options: Options) -> Conversion:
    """The model of a file.

    Raises:
        InputError: it is damaged, or its vocabulary is not beside it.
        UnsupportedError: a version that is not known.
    """
    with path.open("rb") as file:
        shape = read_shape(file.read(HEADER_BYTES), path)
        if path.stat().st_size != shape.size:
            raise InputError(
                f"{path} has {path.stat().st_size} bytes, but its numbers make {shape.size}: it is"
                " cut short or damaged"
            )
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    keys = Keys("llama")
    keys.u32(".vocab_size", shape.vocabulary)
    keys.u32(".context_length", shape.context)
    keys.u32(".embedding_length", shape.width)
    keys.u32(".block_count", shape.layers)
    keys.u32(".feed_forward_length", shape.ff)
    keys.u32(".attention.head_count", shape.heads)
    keys.u32(".attention.head_count_kv", shape.kv_heads)
    keys.f32(".attention.layer_norm_rms_epsilon", NORM_EPSILON)
    keys.u32(".rope.dimension_count", shape.width // shape.heads)
    keys.f32(".rope.freq_base", ROPE_BASE)
    keys.values.update(_vocabulary(path, options, shape.vocabulary).values)
    return Conversion.make(
        f"a llama2.c model, version {shape.version}",
        "llama",
        keys,
        _tensors(data, shape),
        name=options.name or path.stem,
        paths=[path],
    )


# ------------------------------------------------------------------ tensors


def _tensors(data: mmap.mmap, shape: Shape) -> Iterator[SourceTensor]:
    """In the order of GGUF files: block by block."""
    found: dict[str, SourceTensor] = {}
    place = shape.start
    for name, count, extents in shape.all():
        for number in range(max(count, 1)):
            full = f"blk.{number}.{name}.weight" if count else f"{name}.weight"
            found[full] = _values(data, place, full, extents, shape).becomes(full)
            place += shape.nbytes(name, extents)
    names = (name for name, count, _ in [*shape.norms(), *shape.matrices()] if count)
    blocks = list(names)
    yield found["token_embd.weight"]
    for number in range(shape.layers):
        yield from (found[f"blk.{number}.{name}.weight"] for name in blocks)
    yield found["output_norm.weight"]
    if not shape.shared:
        yield found["output.weight"]


def _values(
    data: mmap.mmap, place: int, name: str, extents: tuple[int, ...], shape: Shape
) -> Values:
    count, group = prod(extents), shape.group
    stop = place + shape.nbytes(name.removesuffix(".weight"), extents)

    def read() -> NDArray[Any]:
        import numpy as np

        if not group or name.endswith("norm.weight"):
            return np.frombuffer(data, "<f4", count, place).reshape(extents)
        numbers = np.frombuffer(data, np.int8, count, place).reshape(-1, group)
        scales = np.frombuffer(data, "<f4", count // group, place + count)
        values: NDArray[Any] = numbers * scales[:, None]
        return values.reshape(extents)

    return Values(name, extents, tensor_type("F32"), read, lambda: forget(data, place, stop))


# ------------------------------------------------------------------ vocabulary


def _vocabulary(path: Path, options: Options, rows: int) -> Keys:
    if options.vocab_from is not None and options.vocab_from.name != TOKENIZER:
        return vocabulary_from(options.vocab_from, rows)
    beside = options.vocab_from or path.with_name(TOKENIZER)
    if not beside.is_file():
        raise InputError(
            f"there is no {TOKENIZER} beside {path}: copy it there, or say with --vocab-from where"
            " its vocabulary is"
        )
    return filled(read_tokenizer(beside, rows), rows, str(beside))
