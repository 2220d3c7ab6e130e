"""What will become of every tensor of a file: a table, made from the header alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from zigllm_cli.errors import UnsupportedError, UsageError
from zigllm_cli.gguf.types import TensorType, tensor_type
from zigllm_cli.quantization.candidates import is_candidate
from zigllm_cli.quantization.file_types import FileType
from zigllm_cli.quantization.mixes import (
    EMBEDDINGS,
    LAYER,
    OUTPUT,
    Mix,
    ModelShape,
    fitting,
    in_order,
)
from zigllm_cli.quantization.weights import ModelWeights, Weights
from zigllm_cli.quants.encoders import FAMILY_OF

PLAIN = ("F32", "F16", "BF16")
ALWAYS_WEIGHTED = ("IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S")
"""Types too coarse to be used without an importance matrix."""


@dataclass(frozen=True)
class Wishes:
    """What the user asked for; fields are named like the options.

    Attributes:
        tensor_types: (pattern searched for in the name, type), the first that fits.
    """

    output_tensor_type: TensorType | None = None
    token_embedding_type: TensorType | None = None
    leave_output_tensor: bool = False
    pure: bool = False
    allow_requantize: bool = False
    keep_split: bool = False
    tensor_types: tuple[tuple[re.Pattern[str], TensorType], ...] = ()
    prune_layers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Decision:
    """One tensor of the new file.

    Attributes:
        tensor: as it is.
        name: its new name, another one where layers are left out.
        type: its new type.
        needs_importance: whether it may not be quantised without.
        wanted: the type before it was fitted to the rows.
    """

    tensor: Weights
    name: str
    type: TensorType
    needs_importance: bool = False
    wanted: TensorType | None = None

    @property
    def changes(self) -> bool:
        """Whether the values are encoded anew."""
        return self.tensor.type != self.type

    @property
    def nbytes(self) -> int:
        """Of the new tensor."""
        return self.tensor.n_elements // self.type.block_size * self.type.block_bytes

    @property
    def fell_back(self) -> bool:
        """Whether the rows did not allow the wanted type."""
        return self.wanted is not None and self.wanted != self.type


@dataclass
class Decisions:
    """All tensors of the new file, in its order.

    Attributes:
        layers: `block_count` of the new file, if layers are left out.
    """

    kind: FileType
    rows: list[Decision] = field(default_factory=list)
    layers: int | None = None

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self.rows)

    @property
    def old_nbytes(self) -> int:
        return sum(row.tensor.nbytes for row in self.rows)

    @property
    def bits_per_weight(self) -> float:
        values = sum(row.tensor.n_elements for row in self.rows)
        return 8 * self.nbytes / values if values else 0.0

    def first_without(self, importance: Collection[str]) -> Decision | None:
        """The first tensor that needs importance and has none."""
        for row in self.rows:
            if row.needs_importance and row.changes and row.tensor.name not in importance:
                return row
        return None


def decide(
    file: ModelWeights, kind: FileType, wishes: Wishes, *, has_importance: bool = False
) -> Decisions:
    """Choose a type for every tensor.

    Raises:
        UsageError: layers to prune that do not exist.
        UnsupportedError: a tensor that cannot become what it should, or is quantised already.
    """
    names = list(file.tensors) if wishes.keep_split else in_order(list(file.tensors))
    renamed, layers = _renamed(file, names, wishes.prune_layers)
    kept = [name for name in names if name in renamed]
    new_names = [renamed[name] for name in kept]
    mix = Mix(kind, ModelShape.of(file), new_names, has_importance)
    decisions = Decisions(kind, layers=layers)
    for old, new in zip(kept, new_names, strict=True):
        decisions.rows.append(_decision(file.tensors[old], new, mix, wishes))
    return decisions


def _decision(tensor: Weights, name: str, mix: Mix, wishes: Wishes) -> Decision:
    if mix.kind.copies or not is_candidate(name, tensor.shape):
        return Decision(tensor, name, tensor.type)
    if wishes.leave_output_tensor and name == OUTPUT:
        return Decision(tensor, name, tensor.type)
    wanted, new = _type(tensor, name, mix, wishes)
    if new != tensor.type:
        _check(tensor, new, wishes)
    return Decision(tensor, name, new, needs_importance(name, new, mix.kind), wanted)


def _type(tensor: Weights, name: str, mix: Mix, wishes: Wishes) -> tuple[TensorType, TensorType]:
    """What the tensor should become, and what it can."""
    chosen = next((kind for pattern, kind in wishes.tensor_types if pattern.search(name)), None)
    embedding = wishes.token_embedding_type
    if embedding and name in EMBEDDINGS and not (chosen and name == EMBEDDINGS[1]):
        return embedding, embedding
    if wishes.output_tensor_type and name == OUTPUT:
        return wishes.output_tensor_type, wishes.output_tensor_type
    default = mix.kind.default
    if not default.is_quantized:
        return default, default
    if chosen is None and wishes.pure:
        chosen = default
    if chosen is None:
        tied_output = mix.tied and name in EMBEDDINGS and wishes.output_tensor_type
        chosen = tied_output or mix.choose(name, tensor.shape)
    return chosen, fitting(chosen, tensor.row_length, name)


def _check(tensor: Weights, new: TensorType, wishes: Wishes) -> None:
    if tensor.type.is_quantized and not wishes.allow_requantize:
        raise UnsupportedError(
            f"{tensor.name} is {tensor.type} already and would lose twice; start from an F16, "
            "BF16 or F32 file, or give --allow-requantize"
        )
    if tensor.row_length % new.block_size:
        raise UsageError(
            f"{tensor.name} has rows of {tensor.row_length} values and cannot be {new}, whose "
            f"blocks have {new.block_size}"
        )
    if new.name not in FAMILY_OF and new.name not in PLAIN:
        raise UnsupportedError(f"{tensor.name} cannot be made {new}; that type is for other data")


def needs_importance(name: str, new: TensorType, kind: FileType) -> bool:
    """Whether the reference refuses to make this of a tensor without an importance matrix."""
    if name in EMBEDDINGS or name == OUTPUT:
        return False
    return new.name in ALWAYS_WEIGHTED or (new.name == "Q2_K" and kind.name == "Q2_K_S")


def _renamed(
    file: ModelWeights, names: Iterable[str], pruned: frozenset[int]
) -> tuple[dict[str, str], int | None]:
    """Old names to new ones, without the pruned layers, and how many layers are left then."""
    if not pruned:
        return {name: name for name in names}, None
    layers = sorted({int(m[1]) for name in names if (m := LAYER.match(name))})
    missing = pruned - set(layers)
    if missing:
        raise UsageError(f"there is no layer {min(missing)} to prune; the model has {len(layers)}")
    numbers = {layer: new for new, layer in enumerate(i for i in layers if i not in pruned)}
    renamed = {}
    for name in names:
        match = LAYER.match(name)
        if match is None:
            renamed[name] = name
        elif int(match[1]) in numbers:
            renamed[name] = f"blk.{numbers[int(match[1])]}.{name[match.end() :]}"
    return renamed, len(numbers)


def parse_tensor_type(setting: str) -> tuple[re.Pattern[str], TensorType]:
    """`REGEX=TYPE`, the pattern in lower case and searched for anywhere in a name.

    Raises:
        UsageError: not of that form, no such type, or no valid pattern.
    """
    pattern, equals, name = setting.rpartition("=")
    if not equals or not pattern:
        raise UsageError(f"{setting!r} is not of the form REGEX=TYPE, such as attn_v=q6_k")
    try:
        return re.compile(pattern.lower()), encodable(name)
    except re.error as error:
        raise UsageError(f"{pattern!r} is not a regular expression: {error}") from None


def encodable(name: str) -> TensorType:
    """A type by its name that tensors can be made of.

    Raises:
        UsageError: there is none.
    """
    try:
        kind = tensor_type(name)
    except UnsupportedError:
        kind = None
    if kind is None or (kind.name not in FAMILY_OF and kind.name not in PLAIN):
        known = ", ".join((*PLAIN, *FAMILY_OF))
        raise UsageError(f"{name!r} is not a type for tensors; use one of {known}")
    return kind
