"""What a model is made of: its sizes, and the tensors that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt

from zigllm_cli.errors import UsageError


@dataclass(frozen=True)
class Shape:
    """Sizes of a model.

    Attributes:
        architecture: `general.architecture` of its file, and the module in `train.models`.
        vocabulary: tokens.
        context: tokens of a sequence.
        kv_heads: heads of keys and values, which groups of query heads share.
        ff: width of the feed-forward layer.
        bias: whether products and LayerNorms have one.
        tied: whether the embedding table is the output matrix too.
        rope_base: of the rotary frequencies.
        epsilon: of the norms.
        init: standard deviation of the matrices at the start.
    """

    architecture: str
    vocabulary: int
    context: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    ff: int
    bias: bool = False
    tied: bool = True
    rope_base: float = 10000.0
    epsilon: float = 1e-5
    init: float = 0.02

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UsageError(
                f"a width of {self.width} cannot be cut into {self.heads} heads;"
                " choose --width as a multiple of --heads"
            )
        if self.heads % self.kv_heads:
            raise UsageError(
                f"{self.heads} heads cannot share {self.kv_heads} key-value heads;"
                " choose --heads as a multiple of --kv-heads"
            )
        if self.architecture == "llama" and self.head_dim % 2:
            raise UsageError(
                f"heads of {self.head_dim} values cannot be rotated in pairs;"
                " choose --width as an even multiple of --heads"
            )

    @property
    def head_dim(self) -> int:
        """Values of a head."""
        return self.width // self.heads

    @property
    def qkv(self) -> int:
        """Rows of queries, keys and values together."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def keys(self) -> dict[str, int]:
        """The metadata that all families have, behind the name of the family."""
        return {
            "context_length": self.context,
            "embedding_length": self.width,
            "block_count": self.layers,
            "feed_forward_length": self.ff,
            "attention.head_count": self.heads,
        }

    @property
    def residual_init(self) -> float:
        """For products that are added to the stream: 2 per layer share its variance (GPT-2)."""
        return self.init / sqrt(2 * self.layers)


@dataclass(frozen=True)
class Tensor:
    """A parameter.

    Attributes:
        name: GGUF's, or where several GGUF tensors are one product, of all of them.
        std: of its normal distribution at the start; 0 for `fill` everywhere.
        decay: whether weight decay pulls at it: matrices yes, gains and biases no.
    """

    name: str
    shape: tuple[int, ...]
    std: float = 0.0
    fill: float = 0.0

    @property
    def decay(self) -> bool:
        return len(self.shape) > 1

    @property
    def size(self) -> int:
        """Numbers in it."""
        return prod(self.shape)
