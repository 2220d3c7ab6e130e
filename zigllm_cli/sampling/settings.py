"""All settings of sampling in one place, and the chain that they make."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isnan

from zigllm_cli.errors import UsageError
from zigllm_cli.sampling.adaptive_p import AdaptiveP
from zigllm_cli.sampling.chain import Chain, Sampler
from zigllm_cli.sampling.dry import Breakers, Dry
from zigllm_cli.sampling.mirostat import Mirostat1, Mirostat2
from zigllm_cli.sampling.penalties import Penalties
from zigllm_cli.sampling.ranges import require
from zigllm_cli.sampling.tail_free import TailFree
from zigllm_cli.sampling.temperature import Temperature
from zigllm_cli.sampling.top_n_sigma import TopNSigma
from zigllm_cli.sampling.truncation import MinP, TopK, TopP
from zigllm_cli.sampling.typical import Typical
from zigllm_cli.sampling.xtc import Xtc

DEFAULT_ORDER = (
    *("penalties", "dry", "top_n_sigma", "top_k", "tail_free", "typ_p", "top_p", "min_p", "xtc"),
    *("temperature", "adaptive_p"),
)
"""llama.cpp's, with tail-free where it used to be, and adaptive-p, idle by default, at the end."""

SEEDS = 1 << 64

ALIASES = {"temp": "temperature", "nucleus": "top_p", "typical": "typ_p", "tfs_z": "tail_free"}
"""Other names of samplers; dashes may stand for underscores, or nothing at all."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Defaults are llama.cpp's; most samplers are off.

    Fields are named like the options of the command line; each sampler's module says more.

    Attributes:
        samplers: names in the order of use; None for `DEFAULT_ORDER`.
        mirostat: 1 or 2 for its version, which takes the place of all samplers but temperature.
        logit_bias: added before the chain, by id, or by a text for each of its tokens.
        ignore_eos: never end by itself.
        min_tokens: do not end before so many tokens.
        seed: of the random numbers; None for another one each time.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    top_n_sigma: float = -1.0
    tail_free: float = 1.0
    typical: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exp: float = 1.0
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    mirostat: int = 0
    mirostat_ent: float = 5.0
    mirostat_lr: float = 0.1
    samplers: tuple[str, ...] | None = None
    logit_bias: Mapping[int | str, float] = field(default_factory=dict)
    ignore_eos: bool = False
    min_tokens: int = 0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and not 0 <= self.seed < SEEDS:
            raise UsageError(
                f"seed is {self.seed}, but must be from 0 to 2^64 - 1; leave it out for chance"
            )
        if self.mirostat not in (0, 1, 2):
            raise UsageError(f"mirostat is {self.mirostat}, but must be 1, 2 or 0 (off)")
        require("min-tokens", self.min_tokens, 0)
        for token, bias in self.logit_bias.items():
            if isnan(bias) or bias == inf:
                raise UsageError(f"the bias of {token!r} is {bias}, but must be a number or -inf")
        if "" in self.dry_sequence_breakers:
            raise UsageError(
                "a DRY sequence breaker is empty; leave it out, or give 'none' for none"
            )
        self.order  # noqa: B018  # refuses unknown names
        self._by_name({})

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the samplers in the order of use.

        Raises:
            UsageError: one is unknown.
        """
        if self.mirostat:
            return ("temperature", "mirostat")
        return DEFAULT_ORDER if self.samplers is None else tuple(map(sampler_name, self.samplers))

    def chain(self, *, before: Iterable[Sampler] = (), breakers: Breakers | None = None) -> Chain:
        """The samplers in order, ready for one sequence.

        What needs a vocabulary (biases by text, end tokens, breakers of DRY) is left out here:
        `chain_for` makes a chain with everything.

        Args:
            before: applied in front of all others.
            breakers: of DRY, as ids.
        """
        samplers = self._by_name(breakers or {})
        seed = secrets.randbits(32) if self.seed is None else self.seed
        return Chain([*before, *(samplers[name] for name in self.order)], seed)

    def _by_name(self, breakers: Breakers) -> dict[str, Sampler]:
        """Every sampler with its settings."""
        samplers: tuple[Sampler, ...] = (
            Penalties(
                self.repeat_penalty,
                self.frequency_penalty,
                self.presence_penalty,
                self.repeat_last_n,
            ),
            Dry(
                self.dry_multiplier,
                self.dry_base,
                self.dry_allowed_length,
                self.dry_penalty_last_n,
                breakers,
            ),
            TopNSigma(self.top_n_sigma),
            TopK(self.top_k),
            TailFree(self.tail_free),
            Typical(self.typical),
            TopP(self.top_p),
            MinP(self.min_p),
            Xtc(self.xtc_probability, self.xtc_threshold),
            Temperature(self.temperature, self.dynatemp_range, self.dynatemp_exp),
            AdaptiveP(self.adaptive_target, self.adaptive_decay),
        )
        version = Mirostat1 if self.mirostat == 1 else Mirostat2
        return {
            **{sampler.name: sampler for sampler in samplers},
            "mirostat": version(self.mirostat_ent, self.mirostat_lr),
        }


def sampler_name(word: str) -> str:
    """A sampler's name as `DEFAULT_ORDER` has it.

    Raises:
        UsageError: there is no such sampler.
    """
    wanted = word.strip().lower().replace("-", "_")
    wanted = ALIASES.get(wanted, wanted)
    for name in DEFAULT_ORDER:
        if wanted in (name, name.replace("_", "")):
            return name
    raise UsageError(f"sampler {word!r} is unknown; known are {', '.join(DEFAULT_ORDER)}")


def excluding(tokens: Iterable[int]) -> dict[int, float]:
    """The bias that makes tokens impossible."""
    return dict.fromkeys(tokens, -inf)
