"""All settings of sampling in one place, and the chain that they make."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from zigllm_cli.errors import UsageError
from zigllm_cli.sampling.bias import LogitBias
from zigllm_cli.sampling.chain import Chain, Sampler
from zigllm_cli.sampling.penalties import Penalties
from zigllm_cli.sampling.temperature import Temperature
from zigllm_cli.sampling.truncation import MinP, TopK, TopP


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Defaults are llama.cpp's.

    Attributes:
        seed: of the random numbers; None for another one each time.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and self.seed < 0:
            raise UsageError(f"seed is {self.seed}, but must be 0 or more; leave it out for chance")
        for build in SAMPLERS.values():
            build(self)

    def chain(
        self, order: Iterable[str] | None = None, *, bias: Mapping[int, float] | None = None
    ) -> Chain:
        """The samplers in order, ready for one sequence.

        Args:
            order: names of `SAMPLERS`; default: `DEFAULT_ORDER`.
            bias: added to logits before anything else; see `excluding`.
        """
        names = DEFAULT_ORDER if order is None else tuple(order)
        for name in names:
            if name not in SAMPLERS:
                raise UsageError(f"sampler {name!r} is unknown; known are {', '.join(SAMPLERS)}")
        seed = secrets.randbits(32) if self.seed is None else self.seed
        return Chain([LogitBias(bias or {}), *(SAMPLERS[name](self) for name in names)], seed)


SAMPLERS: dict[str, Callable[[Sampling], Sampler]] = {
    "penalties": lambda s: Penalties(repeat=s.repeat_penalty, last_n=s.repeat_last_n),
    "top_k": lambda s: TopK(s.top_k),
    "top_p": lambda s: TopP(s.top_p),
    "min_p": lambda s: MinP(s.min_p),
    "temperature": lambda s: Temperature(s.temperature),
}
"""What makes each sampler from the settings, by its name."""

DEFAULT_ORDER = ("penalties", "top_k", "top_p", "min_p", "temperature")


def excluding(tokens: Iterable[int]) -> dict[int, float]:
    """The bias that makes tokens impossible."""
    return dict.fromkeys(tokens, -inf)
