"""What every source becomes before it is written: metadata, and tensors that read themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import ValueType
from zigllm_cli.gguf.entry import Entry, TypedList
from zigllm_cli.gguf.types import TensorType

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Options:
    """What the user said about a source; fields are named like the options of the command.

    Attributes:
        name: `general.name`, instead of what the source calls itself.
        pre: `tokenizer.ggml.pre`, instead of what is found from the tokenizer's definition.
        vocab_from: where the vocabulary is that the source has not (`vocabularies`).
        heads: of attention, where the source does not say.
        base: the model that an adapter changes: a Hugging Face folder or a GGUF file.
    """

    name: str | None = None
    pre: str | None = None
    vocab_from: Path | None = None
    heads: int | None = None
    base: Path | None = None


@dataclass(frozen=True)
class Keys:
    """Metadata as it is collected: keys with the types that GGUF's readers expect.

    Attributes:
        prefix: put before keys that begin with a dot: `.block_count` becomes `llama.block_count`.
    """

    prefix: str = ""
    values: dict[str, tuple[ValueType, Any]] = field(default_factory=dict)

    def put(self, key: str, kind: ValueType, value: Any) -> None:
        """Set a key; None leaves it out."""
        if value is not None:
            self.values[self.prefix + key if key.startswith(".") else key] = (kind, value)

    def u32(self, key: str, value: int | None) -> None:
        self.put(key, ValueType.UINT32, value)

    def f32(self, key: str, value: float | None) -> None:
        self.put(key, ValueType.FLOAT32, value)

    def flag(self, key: str, value: bool | None) -> None:
        self.put(key, ValueType.BOOL, value)

    def text(self, key: str, value: str | None) -> None:
        self.put(key, ValueType.STRING, value)

    def array(self, key: str, kind: ValueType, items: Sequence[Any] | None) -> None:
        self.put(key, ValueType.ARRAY, None if items is None else TypedList(kind, items))

    def entries(self) -> Iterator[Entry]:
        """As they are written.

        Raises:
            UsageError: a value that does not fit the type of its key.
        """
        for key, (kind, value) in self.values.items():
            yield Entry.make(key, kind, value)


@dataclass(frozen=True)
class SourceTensor:
    """One tensor under its GGUF name, whose values are read when it is its turn.

    Attributes:
        shape: sizes in ggml's order, the contiguous dimension first.
        type: of the values that `read` gives: F32, F16, BF16 (as uint16), F64, I8 to I64, or blocks
            of a quantised type (as uint8).
        read: the values, in any shape whose order is row after row; a view of a map where nothing
            has to be moved.
        release: called when the values are no longer needed: lets pages of the map go.
        order: byte order of the values.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    read: Callable[[], NDArray[Any]]
    release: Callable[[], None] | None = None
    order: str = "<"

    @property
    def n_elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.n_elements // self.type.block_size * self.type.block_bytes

    @property
    def row_length(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def rows(self) -> int:
        return prod(self.shape[1:])

    def numpy(self) -> Bytes:
        """The values' bytes as uint8 [rows, row_bytes].

        Raises:
            InputError: the source gave another number of bytes than it announced.
        """
        data = np.ascontiguousarray(self.read()).reshape(-1).view(np.uint8)
        if data.nbytes != self.nbytes:
            raise InputError(
                f"tensor {self.name} has {data.nbytes} bytes instead of the {self.nbytes} of a "
                f"{self.type} tensor of shape {self.shape}; the source is damaged"
            )
        return data.reshape(self.rows, -1) if data.size else data.reshape(self.rows, 0)

    def forget(self, start: int, stop: int) -> None:
        """Let the source's pages go; done once, behind the last byte."""
        if stop == self.nbytes and self.release is not None:
            self.release()


@dataclass(frozen=True)
class Conversion:
    """A model of another program, ready to be written as GGUF.

    Attributes:
        source: what it was, in a few words: "a Hugging Face folder (LlamaForCausalLM)".
        keys: all metadata, in the order of the file, but for what the tensors' types decide.
        tensors: by GGUF name, in the order of the file.
        paths: the files that are read, which must not be written to.
        notes: what the user should know: parts that were left out, guesses.
        is_gguf: whether it was GGUF before: then tensors stay of their types unless told otherwise.
    """

    source: str
    architecture: str
    keys: Keys
    tensors: Mapping[str, SourceTensor]
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    is_gguf: bool = False

    @classmethod
    def make(
        cls,
        source: str,
        architecture: str,
        keys: Keys,
        tensors: Iterable[SourceTensor],
        *,
        name: str,
        general: Mapping[str, tuple[ValueType, Any]] | None = None,
        paths: Iterable[Path] = (),
        notes: Iterable[str] = (),
    ) -> Self:
        """Put `general.*` in front of a source's own keys.

        Args:
            name: `general.name`.
            general: more keys of that kind, as a model card gives them.

        Raises:
            InputError: two tensors of one name.
        """
        from zigllm_cli.convert.size_label import size_label

        table: dict[str, SourceTensor] = {}
        for tensor in tensors:
            if tensor.name in table:
                raise InputError(
                    f"the source has tensor {tensor.name} twice; it cannot be converted"
                )
            table[tensor.name] = tensor
        all_keys = Keys(architecture)
        all_keys.text("general.architecture", architecture)
        all_keys.text("general.type", "model")
        all_keys.text("general.name", name)
        all_keys.text("general.size_label", size_label(table.values()))
        all_keys.values.update(general or {})
        all_keys.values.update(keys.values)
        return cls(source, architecture, all_keys, table, tuple(paths), tuple(notes))

    def hyperparameter(self, name: str, default: Any = None) -> Any:
        """The value of `{architecture}.{name}`."""
        return self.metadata.get(f"{self.architecture}.{name}", default)

    @property
    def name(self) -> str:
        return str(self.metadata.get("general.name", "(no name)"))

    @property
    def tokenizer(self) -> str:
        """In a few words: "gpt2, pre-tokenizer qwen2, 151936 tokens"."""
        values = self.metadata
        parts = [str(values.get("tokenizer.ggml.model", "none"))]
        if "tokenizer.ggml.pre" in values:
            parts.append(f"pre-tokenizer {values['tokenizer.ggml.pre']}")
        if "tokenizer.ggml.tokens" in values:
            parts.append(f"{len(values['tokenizer.ggml.tokens'])} tokens")
        return ", ".join(parts)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """All keys and their values, lists as lists."""
        return {
            key: list(value.items) if isinstance(value, TypedList) else value
            for key, (_, value) in self.keys.values.items()
        }

    @cached_property
    def parameters(self) -> int:
        return sum(tensor.n_elements for tensor in self.tensors.values())
