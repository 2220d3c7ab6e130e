"""A GGUF file to go on from: its sizes, its parameters in float32, its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import GGUFFile, open_gguf
from zigllm_cli.gguf.entry import Entry
from zigllm_cli.models import architecture
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.quants import dequantize
from zigllm_cli.tokenizers import Tokenizer, from_metadata
from zigllm_cli.train.export import file_tensors
from zigllm_cli.train.models import MODELS, model
from zigllm_cli.train.parameters import Parameters
from zigllm_cli.train.shape import Shape
from zigllm_cli.train.values import Array


@dataclass(frozen=True)
class FileVocabulary:
    """The vocabulary of a file, with the interface of `train.vocabulary.Vocabulary`."""

    file: GGUFFile
    size: int

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The engine's own."""
        return from_metadata(self.file.metadata)

    @property
    def end(self) -> int:
        """What stands between documents.

        Raises:
            UnsupportedError: nothing does.
        """
        special = self.tokenizer.vocabulary.special
        found = special.get("eos", special.get("bos"))
        if found is None:
            raise UnsupportedError("the file names no token that ends a text; use running text")
        return found

    def encode(self, text: str) -> list[int]:
        """Ids of a text, in which special tokens count as such; nothing is put around them."""
        return self.tokenizer.encode(text, add_special=False, parse_special=True)

    def entries(self) -> list[Entry]:
        """The `tokenizer.*` keys as they stand in the file."""
        layout = self.file.headers[0].layout
        fields = self.file.metadata.fields.values()
        return [Entry.copy(field, layout) for field in fields if field.key.startswith("tokenizer.")]


@dataclass(frozen=True)
class Initial:
    """See the module.

    Attributes:
        flat: all parameters, in the order of `parameters`.
    """

    shape: Shape
    parameters: Parameters
    flat: Array
    vocabulary: FileVocabulary

    @property
    def digest(self) -> str:
        """Of the parameters."""
        return blake2b(self.flat.tobytes(), digest_size=16).hexdigest()


def read_initial(path: Path) -> Initial:
    """Read a model that this program can train.

    Raises:
        InputError: the file is damaged, or its tensors do not fit its metadata.
        UnsupportedError: a family or a variant of it that cannot be trained.
    """
    file = open_gguf(path)
    if file.architecture not in MODELS:
        raise UnsupportedError(
            f"{path} is of architecture {file.architecture or '?'}; training goes on from"
            f" {', '.join(MODELS)}"
        )
    shape = _shape(file, path)
    module = model(shape.architecture)
    parameters = Parameters(module.tensors(shape))
    flat = np.empty(parameters.size, np.float32)
    expected = set()
    for name, target in file_tensors(shape, parameters.views(flat)):
        expected.add(name)
        if not name.endswith(".bias") or shape.bias:
            target[...] = _values(file, name, target.shape)
    unknown = sorted(set(file.tensors) - expected)
    if unknown:
        raise UnsupportedError(f"{path} has tensors that training does not know: {unknown[0]}, ...")
    return Initial(shape, parameters, flat, FileVocabulary(file, shape.vocabulary))


def _shape(file: GGUFFile, path: Path) -> Shape:
    running = architecture(file)
    assert isinstance(running, Transformer)
    h = running.hyper
    plain = h.head_dim == h.value_dim == h.width // h.heads and h.embedding_scale == 1
    plain = plain and abs(h.scale - h.head_dim**-0.5) < 1e-6
    if h.rope is not None:
        plain = plain and h.rope.dimensions == h.head_dim
        plain = plain and (h.rope.factor == 1 or h.rope.scaling == "none") and h.rope.magnitude == 1
    if not plain or getattr(running, "experts", None):
        raise UnsupportedError(
            f"{path} is a variant of {file.architecture} that cannot be trained: experts, scaled"
            " positions and heads of another width are not supported"
        )
    return Shape(
        architecture=file.architecture,
        vocabulary=h.vocabulary,
        context=h.context_length,
        layers=h.blocks,
        width=h.width,
        heads=h.heads,
        kv_heads=h.kv_heads,
        ff=h.ff,
        bias=_has_biases(file),
        tied="output.weight" not in file.tensors,
        rope_base=h.rope.base if h.rope is not None else 10000.0,
        epsilon=h.epsilon,
    )


def _has_biases(file: GGUFFile) -> bool:
    """Whether any bias is not 0: a model without them has zeros in its file."""
    names = (name for name in file.tensors if name.endswith(".bias"))
    return any(_values(file, name, file.tensors[name].shape).any() for name in names)


def _values(file: GGUFFile, name: str, shape: tuple[int, ...]) -> Array:
    if name not in file.tensors:
        raise InputError(f"tensor {name} is missing")
    tensor = file.tensors[name]
    wanted = tuple(reversed(shape))
    if tensor.shape != wanted:
        raise InputError(f"tensor {name} has shape {tensor.shape}: the metadata asks for {wanted}")
    rows = tensor.numpy().reshape(tensor.rows, -1)
    return dequantize(rows, tensor.type.name, tensor.row_length).reshape(shape)
