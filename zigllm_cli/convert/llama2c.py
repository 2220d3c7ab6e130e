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
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli.convert.conversion import Conversion, Keys, Options, SourceTensor
from zigllm_cli.convert.values import Values
from zigllm_cli.convert.vocabularies import SCORES, TOKENS, TYPES, filled, vocabulary_from
from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import ValueType
from zigllm_cli.gguf.model_file import forget
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"24ka"
"""0x616b3432, "ak42"."""

HEADER = struct.Struct("<7i")
HEADER_BYTES = 256
"""Of versions 1 and 2."""

MOST = (1 << 20, 1 << 24, 10_000, 1 << 16, 1 << 16, 1 << 24, 1 << 24)
"""The largest number that each of the seven may sensibly be."""

NORM_EPSILON = 1e-5
ROPE_BASE = 10000.0

TOKENIZER = "tokenizer.bin"
TOKENIZER_LIMIT = 64 << 20
BYTE_TOKENS = range(3, 259)


@dataclass(frozen=True)
class Shape:
    """The numbers of a file.

    Attributes:
        version: of the format.
        shared: whether the head is the embedding table.
        group: values that share a scale; 0 for float32.
        start: where the tensors begin.
    """

    width: int
    ff: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    version: int
    shared: bool
    group: int
    start: int

    @property
    def kv_width(self) -> int:
        """Outputs of W_k and W_v."""
        return self.width // self.heads * self.kv_heads

    def norms(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """Names, how many there are, and the shape of each."""
        each = (self.layers, (self.width,))
        return [("attn_norm", *each), ("ffn_norm", *each), ("output_norm", 0, (self.width,))]

    def matrices(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """In the order of versions 1 and 2; 0 for one that stands outside of blocks."""
        kv, ff = (self.kv_width, self.width), (self.ff, self.width)
        rows: list[tuple[str, int, tuple[int, ...]]] = [
            ("token_embd", 0, (self.vocabulary, self.width)),
            ("attn_q", self.layers, (self.width, self.width)),
            ("attn_k", self.layers, kv),
            ("attn_v", self.layers, kv),
            ("attn_output", self.layers, (self.width, self.width)),
            ("ffn_gate", self.layers, ff),
            ("ffn_down", self.layers, ff[::-1]),
            ("ffn_up", self.layers, ff),
        ]
        return rows if self.shared else [*rows, ("output", 0, (self.vocabulary, self.width))]

    def all(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """Everything in the order of the file, rotary tables of version 0 included."""
        norms, matrices = self.norms(), self.matrices()
        if self.version:
            return [*norms, *matrices]
        angles = ("angles", 0, (2, self.context, self.width // self.heads // 2))
        blocks = [norms[0], *matrices[1:5], norms[1], *matrices[5:8]]
        return [matrices[0], *blocks, norms[2], angles, *matrices[8:]]

    def nbytes(self, name: str, shape: tuple[int, ...]) -> int:
        """Bytes of one tensor."""
        count = prod(shape)
        if self.group and not name.endswith("norm"):
            return count + 4 * (count // self.group)
        return 4 * count

    @property
    def size(self) -> int:
        """Bytes that the file must have."""
        return self.start + sum(
            max(count, 1) * self.nbytes(name, shape) for name, count, shape in self.all()
        )


def recognises(path: Path) -> bool:
    """A file that begins with "ak42", or with seven numbers that give exactly its size."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if start.startswith(MAGIC):
        return True
    shape = _version_0(start)
    return shape is not None and shape.size == path.stat().st_size


def read(path: Path, options: Options) -> Conversion:
    """The model of a file.

    Raises:
        InputError: it is damaged, or its vocabulary is not beside it.
        UnsupportedError: a version that is not known.
    """
    with path.open("rb") as file:
        shape = _shape(file.read(HEADER_BYTES), path)
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


# ------------------------------------------------------------------ numbers


def _shape(start: bytes, path: Path) -> Shape:
    if not start.startswith(MAGIC):
        shape = _version_0(start)
        assert shape is not None, "only recognised files are read"
        return shape
    if len(start) < HEADER_BYTES:
        raise InputError(f"{path} is cut short")
    version = int.from_bytes(start[4:8], "little")
    if version not in (1, 2):
        raise UnsupportedError(f"{path} is a llama2.c model of version {version}; known are 0 to 2")
    numbers = HEADER.unpack_from(start, 8)
    shared, group = start[36], int.from_bytes(start[37:41], "little") if version == 2 else 0
    shape = _checked(numbers, version=version, shared=bool(shared), group=group, start=HEADER_BYTES)
    if shape is None or (version == 2 and not group):
        raise InputError(f"{path}: {numbers} are not the sizes of a model")
    if group and any(prod(matrix) % group for _, _, matrix in shape.matrices()):
        raise InputError(f"{path}: its matrices cannot be cut into groups of {group}")
    return shape


def _version_0(start: bytes) -> Shape | None:
    if len(start) < HEADER.size:
        return None
    numbers = list(HEADER.unpack_from(start))
    shared = numbers[5] > 0
    numbers[5] = abs(numbers[5])
    return _checked(tuple(numbers), version=0, shared=shared, group=0, start=HEADER.size)


def _checked(numbers: tuple[int, ...], **more: Any) -> Shape | None:
    """The numbers, if they can be those of a model."""
    if any(not 0 < number <= most for number, most in zip(numbers, MOST, strict=True)):
        return None
    width, ff, layers, heads, kv_heads, vocabulary, context = numbers
    shape = Shape(width, ff, layers, heads, kv_heads, vocabulary, context, **more)
    if shape.width % (2 * shape.heads) or shape.heads % shape.kv_heads:
        return None
    return shape


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


def read_tokenizer(path: Path, rows: int) -> Keys:
    """The vocabulary of a tokenizer.bin: SentencePiece's, its spaces written out.

    Args:
        rows: tokens that the model has; the file does not say how many there are.

    Raises:
        InputError: it is damaged.
    """
    if path.stat().st_size > TOKENIZER_LIMIT:
        raise InputError(f"{path} has more than {TOKENIZER_LIMIT >> 20} MB, which no tokenizer has")
    data, place = path.read_bytes(), 4
    tokens: list[str] = []
    scores: list[float] = []
    while place < len(data) and len(tokens) < rows:
        if place + 8 > len(data):
            raise InputError(f"{path} is cut short")
        score, length = struct.unpack_from("<fi", data, place)
        place += 8
        if not 0 <= length <= len(data) - place:
            raise InputError(f"{path} is damaged: its token {len(tokens)} has {length} bytes")
        text = data[place : place + length].decode("utf-8", "surrogateescape")
        tokens.append(_piece(len(tokens), text))
        scores.append(score)
        place += length
    if len(tokens) < BYTE_TOKENS.stop:
        raise InputError(
            f"{path} has only {len(tokens)} tokens: bytes alone need {BYTE_TOKENS.stop}"
        )
    kinds = {0: TokenType.UNKNOWN, 1: TokenType.CONTROL, 2: TokenType.CONTROL}
    kinds |= dict.fromkeys(BYTE_TOKENS, TokenType.BYTE)
    keys = Keys()
    keys.text("tokenizer.ggml.model", "llama")
    keys.array(TOKENS, ValueType.STRING, tokens)
    keys.array(SCORES, ValueType.FLOAT32, scores)
    types = [int(kinds.get(number, TokenType.NORMAL)) for number in range(len(tokens))]
    keys.array(TYPES, ValueType.INT32, types)
    for name, number in (("bos", 1), ("eos", 2), ("unknown", 0)):
        keys.u32(f"tokenizer.ggml.{name}_token_id", number)
    keys.flag("tokenizer.ggml.add_bos_token", True)
    keys.flag("tokenizer.ggml.add_eos_token", False)
    keys.flag("tokenizer.ggml.add_space_prefix", True)
    return keys


def _piece(number: int, text: str) -> str:
    """As SentencePiece spells it: the file has lines around BOS and EOS, and real spaces."""
    if number in (1, 2):
        return ("<s>", "</s>")[number - 1]
    return text.replace(" ", SPACE)
