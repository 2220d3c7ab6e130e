"""Which type each tensor gets in a file type, as the reference chooses.

Mixes give more bits to what suffers most: the output, attention's values, the feed-forward's way
back, the first and last layers. Tensors must come in order (`in_order`), for some rules count.
A rule reads like the table it was taken from; its history is llama.cpp's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf.types import TensorType, tensor_type
from zigllm_cli.quantization.file_types import FileType
from zigllm_cli.quantization.weights import ModelWeights

LAYER = re.compile(r"blk\.(\d+)\.")


class Role(Enum):
    """What a tensor does, as far as the rules care."""

    OUTPUT = auto()
    EMBEDDING = auto()
    VALUE = auto()
    KEY = auto()
    QUERY = auto()
    ATTENTION_OUTPUT = auto()
    UP = auto()
    GATE = auto()
    DOWN = auto()
    OTHER = auto()


ROLES = (
    ("attn_qkv.weight", Role.VALUE),
    ("attn_kv_b.weight", Role.VALUE),
    ("attn_v.weight", Role.VALUE),
    ("attn_k.weight", Role.KEY),
    ("attn_q.weight", Role.QUERY),
    ("attn_output.weight", Role.ATTENTION_OUTPUT),
    ("ffn_up", Role.UP),
    ("ffn_gate", Role.GATE),
    ("ffn_down", Role.DOWN),
)
"""Parts of names, the first that fits."""

EMBEDDINGS = ("token_embd.weight", "per_layer_token_embd.weight")
OUTPUT = "output.weight"


def role_of(name: str) -> Role:
    """The role of a tensor by its name."""
    if name == OUTPUT:
        return Role.OUTPUT
    if name in EMBEDDINGS:
        return Role.EMBEDDING
    return next((role for part, role in ROLES if part in name), Role.OTHER)


def in_order(names: list[str]) -> list[str]:
    """By layer, those outside of layers first; then by name: the order of quantised files."""

    def key(name: str) -> tuple[int, bytes]:
        match = LAYER.match(name)
        return (int(match[1]) if match else -1, name.encode())

    return sorted(names, key=key)


@dataclass(frozen=True)
class ModelShape:
    """What the rules ask of a model.

    Attributes:
        layers: `block_count`.
        heads, kv_heads: of the first layer.
        experts: 0 for a dense model.
    """

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    experts: int = 0

    @classmethod
    def of(cls, file: ModelWeights) -> ModelShape:
        """From a file's hyper-parameters; what is missing counts as 0.

        Raises:
            InputError: one of them is no number.
        """
        heads = _first(file, "attention.head_count", 0)
        return cls(
            file.architecture,
            _first(file, "block_count", 0),
            heads,
            _first(file, "attention.head_count_kv", heads),
            _first(file, "expert_count", 0),
        )

    @property
    def sharing(self) -> int:
        """Query heads per key/value head."""
        return self.heads // self.kv_heads if self.kv_heads else 0

    @property
    def is_70b(self) -> bool:
        """Of the kind whose small value matrices get more bits."""
        layers = {"llama": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}
        known = layers.get(self.architecture) == self.layers
        return known and (self.architecture != "llama" or self.heads != self.kv_heads)


def _first(file: ModelWeights, key: str, default: int) -> int:
    """A number, or the first of an array of them."""
    value = file.hyperparameter(key, default)
    if not isinstance(value, int):
        value = next(iter(value), default) if hasattr(value, "__iter__") else value
    if not isinstance(value, int):
        raise InputError(f"{file.architecture}.{key} is {value!r}, not a number")
    return int(value)


FALLBACKS = {
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"
    ),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
"""What a type becomes in rows that are not whole blocks of it."""


def fitting(kind: TensorType, row_length: int, name: str) -> TensorType:
    """The type, or what replaces it in rows of this length.

    Raises:
        UnsupportedError: nothing does.
    """
    if row_length % kind.block_size == 0:
        return kind
    if kind.name not in FALLBACKS and kind.block_size > 32:
        raise UnsupportedError(
            f"{name} has rows of {row_length} values, which cannot be {kind.name} and have no "
            "replacement; choose another type"
        )
    replaced = tensor_type(FALLBACKS.get(kind.name, kind.name))
    return replaced if row_length % replaced.block_size == 0 else tensor_type("F16")


LOW_BITS = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M")
"""File types with a table of their own."""


class Mix:
    """Chooses tensor by tensor, in order; the user's exceptions never come here.

    Args:
        kind: the file type.
        shape: the model's.
        names: of all tensors of the file.
        has_importance: whether there is an importance matrix.
    """

    def __init__(
        self, kind: FileType, shape: ModelShape, names: list[str], has_importance: bool
    ) -> None:
        self.kind, self.shape, self.has_importance = kind, shape, has_importance
        self.tied = OUTPUT not in names
        self.values = sum(role_of(name) is Role.VALUE for name in names)
        self._seen = dict.fromkeys(Role, 0)

    def choose(self, name: str, shape: tuple[int, ...]) -> TensorType:
        """The type of the next tensor, before it is fitted to its rows."""
        role, ftype = role_of(name), self.kind.name
        if role is Role.OUTPUT or (self.tied and role is Role.EMBEDDING):
            return tensor_type(self._output(shape[0]))
        if ftype == "MXFP4_MOE":
            return tensor_type("MXFP4" if len(shape) > 2 and shape[2] > 1 else "Q8_0")
        if role is Role.EMBEDDING:
            return tensor_type(self._embedding())
        rules = self._low_bits if ftype in LOW_BITS else self._usual
        chosen = rules(role, name)
        self._seen[role] += 1
        return tensor_type(chosen or self.kind.default.name)

    # -------------------------------------------------------------- outside of layers

    def _output(self, row_length: int) -> str:
        default = self.kind.default
        if self.kind.name == "MXFP4_MOE" or self.shape.architecture == "falcon":
            return "Q8_0"
        if row_length % default.block_size or default.name == "Q8_0":
            return "Q8_0"
        return "Q5_K" if self.kind.name in (*LOW_BITS, "IQ3_XXS") else "Q6_K"

    def _embedding(self) -> str:
        special = {
            **dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"), "Q2_K"),
            **dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S"),
            **dict.fromkeys(("TQ1_0", "TQ2_0", "Q2_0"), "Q4_K"),
        }
        return special.get(self.kind.name, self.kind.default.name)

    # -------------------------------------------------------------- IQ1 and IQ2

    def _low_bits(self, role: Role, name: str) -> str | None:
        better = "IQ3_S" if self.kind.name in ("IQ2_S", "IQ2_M") else "Q2_K"
        eight = self.shape.experts == 8
        if role is Role.VALUE:
            return "Q4_K" if self.shape.sharing >= 4 or self.shape.experts >= 4 else better
        if role is Role.KEY and eight:
            return "Q4_K"
        if role is Role.DOWN and self._seen[role] < self.shape.layers // 8:
            return better
        if role is Role.ATTENTION_OUTPUT:
            if eight:
                return "Q5_K"
            special = {"IQ1_S": "IQ2_XXS", "IQ1_M": "IQ2_XXS", "IQ2_S": "IQ3_S", "IQ2_M": "IQ3_S"}
            return special.get(self.kind.name)
        return None

    # -------------------------------------------------------------- all others

    def _usual(self, role: Role, name: str) -> str | None:
        if role is Role.VALUE:
            return self._value()
        if role is Role.KEY and self.shape.experts == 8:
            return "Q8_0"
        if role in (Role.KEY, Role.QUERY):
            return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self.kind.name)
        if role is Role.ATTENTION_OUTPUT:
            return self._attention_output()
        if role is Role.DOWN:
            return self._down(self._layer(role, name), self.shape.layers)
        if role in (Role.UP, Role.GATE):
            i, n = self._layer(role, name), self.shape.layers
            is_inner = n // 8 <= i < 7 * n // 8
            return "IQ3_XXS" if self.kind.name == "IQ3_XS" and is_inner else None
        return None

    def _layer(self, role: Role, name: str) -> int:
        """The number of a feed-forward matrix: counted, or in the name where experts may mix it."""
        if self.shape.experts <= 1:
            return self._seen[role]
        match = LAYER.match(name)
        if not match or int(match[1]) >= self.shape.layers:
            raise InputError(f"{name} is in none of the model's {self.shape.layers} layers")
        return int(match[1])

    def _value(self) -> str | None:
        i, shared = self._seen[Role.VALUE], self.shape.sharing >= 4
        match self.kind.name:
            case "Q2_K":
                chosen = "Q4_K" if shared else "Q3_K"
            case "Q2_K_S" | "IQ3_XS" | "IQ3_S":
                chosen = "Q4_K" if shared else ""
            case "IQ3_XXS":
                chosen = "Q4_K" if shared else "IQ3_XXS" if self.has_importance else "IQ3_S"
            case "IQ3_M":
                chosen = "Q4_K"
            case "Q3_K_M":
                chosen = "Q5_K" if i < 2 else "Q4_K"
            case "Q3_K_L":
                chosen = "Q5_K"
            case "IQ4_NL" | "IQ4_XS":
                chosen = "Q5_K" if shared else ""
            case "Q4_K_M" | "Q5_K_M":
                chosen = "Q6_K" if _more_bits(i, self.values) else ""
            case "Q4_K_S":
                chosen = "Q5_K" if i < 4 else ""
            case _:
                chosen = ""
        chosen = chosen or self.kind.default.name
        if self.shape.is_70b and chosen in ("Q3_K", "Q4_K"):
            chosen = "Q5_K"
        return "Q8_0" if self.shape.experts == 8 else chosen

    def _attention_output(self) -> str | None:
        name = self.kind.name
        if self.shape.architecture == "falcon":
            return "Q4_K" if name == "Q3_K_L" else None
        if self.shape.experts == 8:
            raised = (
                "Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL",
                "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M", "IQ4_XS",
            )  # fmt: skip
            return "Q5_K" if name in raised else None
        special = {
            "Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K",
            "IQ3_M": "Q4_K",
        }  # fmt: skip
        return special.get(name)

    def _down(self, i: int, n: int) -> str | None:
        name, is_first, more = self.kind.name, i < n // 8, _more_bits(i, n)
        falcon = self.shape.architecture == "falcon"
        match name:
            case "Q2_K":
                return "Q3_K"
            case "Q2_K_S":
                return "Q4_K" if is_first else None
            case "IQ3_XXS" if not self.has_importance:
                return "Q4_K" if is_first else "Q3_K"
            case "Q3_K_M":
                if i < n // 16:
                    return "Q5_K"
                return "Q4_K" if not falcon or more else "Q3_K"
            case "IQ3_M":
                return "Q4_K" if is_first or (self.shape.experts == 8 and more) else None
            case "Q3_K_L":
                return "Q4_K" if falcon else "Q5_K"
            case "Q4_K_M" if falcon:
                return "Q6_K" if i < n // 16 else "Q5_K" if more else "Q4_K"
            case "Q4_K_M" | "Q5_K_M":
                return "Q6_K" if more else None
            case "IQ4_NL" | "IQ4_XS":
                return "Q5_K" if is_first and not self.has_importance else None
            case "Q4_K_S":
                return "Q5_K" if is_first and not falcon else None
            case "Q4_0" | "Q5_0":
                raised = "Q4_1" if name == "Q4_0" else "Q5_1"
                return raised if is_first and self.has_importance else None
        return None


def _more_bits(i: int, n: int) -> bool:
    """The first and the last eighth of the layers, and every third between them."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2
