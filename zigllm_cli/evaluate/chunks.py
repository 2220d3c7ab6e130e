"""The figures of one chunk: sums over its scored tokens, and what must be kept of each token.

Sums are exact before they are rounded (`math.fsum`), so they depend on the tokens' figures alone.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import fsum
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.evaluate.windows import Window
from zigllm_cli.tokenizers import Tokenizer

Array = NDArray[Any]


@dataclass(frozen=True)
class BaseFigures:
    """What a base model says of each token, arrays of one value per token.

    Attributes:
        log_probs: of the tokens, by the base model.
        divergences: of the whole distribution from the base's, in nats.
        same_tops: whether both find the same token likeliest.
    """

    log_probs: Array
    divergences: Array
    same_tops: Array


@dataclass(frozen=True)
class TokenFigures:
    """Figures of each of some scored tokens.

    Attributes:
        tokens: ids.
        log_probs: natural logarithms of their probabilities.
        ranks: 1 for the likeliest.
        base: the same of a base model, where there is one.
    """

    tokens: Array
    log_probs: Array
    ranks: Array
    base: BaseFigures | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, first: int, last: int) -> TokenFigures:
        """Those of the tokens `first` to `last` - 1."""
        cut = slice(first, last)
        base = self.base and BaseFigures(*(column[cut] for column in _columns(self.base)))
        return TokenFigures(self.tokens[cut], self.log_probs[cut], self.ranks[cut], base)

    @classmethod
    def joined(cls, parts: Sequence[TokenFigures]) -> TokenFigures:
        """Several, one behind the other."""
        bases = [part.base for part in parts if part.base is not None]
        columns_of_base = map(np.concatenate, zip(*map(_columns, bases), strict=True))
        base = BaseFigures(*columns_of_base) if bases else None
        return cls(
            np.concatenate([part.tokens for part in parts]),
            np.concatenate([part.log_probs for part in parts]),
            np.concatenate([part.ranks for part in parts]),
            base,
        )


def _columns(base: BaseFigures) -> list[Array]:
    return [getattr(base, field.name) for field in fields(base)]


@dataclass(frozen=True)
class BaseSums:
    """Sums over a chunk's tokens that compare two models; p is a token's probability.

    Attributes:
        nll, nll_squared: of the base model, -ln p.
        nll_product: of the two models' -ln p.
        kld, kld_squared: of the divergence.
        dp, dp_squared, dp_fourth: powers of the change of p.
        agreements: tokens where both find the same one likeliest.
        klds, dps: divergence and change of p of each token, float32, for percentiles.
    """

    nll: float
    nll_squared: float
    nll_product: float
    kld: float
    kld_squared: float
    dp: float
    dp_squared: float
    dp_fourth: float
    agreements: int
    klds: Array
    dps: Array

    @classmethod
    def of(cls, figures: TokenFigures, base: BaseFigures) -> BaseSums:
        """Of these tokens."""
        own, other, kld = -figures.log_probs, -base.log_probs, base.divergences
        dp = np.exp(-own) - np.exp(-other)
        return cls(
            nll=fsum(other.tolist()),
            nll_squared=fsum((other**2).tolist()),
            nll_product=fsum((own * other).tolist()),
            kld=fsum(kld.tolist()),
            kld_squared=fsum((kld**2).tolist()),
            dp=fsum(dp.tolist()),
            dp_squared=fsum((dp**2).tolist()),
            dp_fourth=fsum((dp**4).tolist()),
            agreements=int(base.same_tops.sum()),
            klds=kld.astype(np.float32),
            dps=dp.astype(np.float32),
        )


@dataclass(frozen=True)
class Chunk:
    """The figures of one window of a text.

    Attributes:
        number: of the window.
        first: its first scored token, counted in tokens of the text.
        checksum: CRC-32 of its tokens, as they stand in the text.
        count: scored tokens.
        nll, nll_squared: sums of -ln p and of its square.
        bytes, characters: of the scored tokens.
        base: sums against a base model.
        tokens: each token's figures, if they are wanted.
    """

    number: int
    first: int
    checksum: int
    count: int
    nll: float
    nll_squared: float
    bytes: int
    characters: int
    base: BaseSums | None = None
    tokens: TokenFigures | None = None


def checksum(window: Window) -> int:
    """CRC-32 of a window's tokens, as little-endian 32-bit integers."""
    return crc32(np.array(window.text_tokens, "<u4").tobytes())


def chunk_of(window: Window, figures: TokenFigures, sizes: Sizes, *, keep: bool) -> Chunk:
    """Sum up a window's figures; `keep` each token's too."""
    nll = -figures.log_probs
    size, characters = sizes.of(window.targets)
    return Chunk(
        window.number,
        window.start + window.scored,
        checksum(window),
        len(figures),
        fsum(nll.tolist()),
        fsum((nll**2).tolist()),
        size,
        characters,
        None if figures.base is None else BaseSums.of(figures, figures.base),
        figures if keep else None,
    )


class Sizes:
    """Bytes and characters of tokens, remembered."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, tuple[int, int]] = {}

    def of(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Bytes and characters of these tokens together.

        A character counts where it begins, so that those cut in two count once.
        """
        pairs = [self._known.get(token) or self._measure(token) for token in tokens]
        return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)

    def _measure(self, token: int) -> tuple[int, int]:
        piece = self._tokenizer.piece(token) if token < len(self._tokenizer) else b""
        found = len(piece), sum(byte & 0xC0 != 0x80 for byte in piece)
        self._known[token] = found
        return found


# ---------------------------------------------------------------------- as JSON


ARRAYS = {
    "klds": "<f4",
    "dps": "<f4",
    "tokens": "<u4",
    "log_probs": "<f8",
    "ranks": "<u4",
    "divergences": "<f8",
    "same_tops": "|u1",
}
"""Types that arrays are written as, in base64."""


def to_json(chunk: Chunk) -> dict[str, Any]:
    """A chunk as JSON values; floats keep all their digits, what is None is left out."""
    return _written(chunk)


def _written(record: Any) -> dict[str, Any]:
    values = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            value = b64encode(value.astype(ARRAYS[field.name]).tobytes()).decode("ascii")
        elif value is not None and not isinstance(value, int | float):
            value = _written(value)
        if value is not None:
            values[field.name] = value
    return values


def from_json(values: Mapping[str, Any]) -> Chunk:
    """A chunk from what `to_json` made of it.

    Raises:
        ValueError, TypeError, KeyError: it is something else.
    """
    known = dict(values)
    base, tokens = known.pop("base", None), known.pop("tokens", None)
    numbers = {
        field.name: _number(known.pop(field.name), field.type)
        for field in fields(Chunk)
        if field.name not in ("base", "tokens")
    }
    if known:
        raise ValueError(f"unknown: {', '.join(known)}")
    return Chunk(
        **numbers, base=base and _base_sums(base), tokens=tokens and _token_figures(tokens)
    )


def _number(value: Any, kind: Any) -> Any:
    wanted = int if kind == "int" else (int, float)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a number")
    return value


def _base_sums(values: Mapping[str, Any]) -> BaseSums:
    found: dict[str, Any] = {
        field.name: _number(values[field.name], field.type)
        for field in fields(BaseSums)
        if field.name not in ARRAYS
    }
    return BaseSums(**found, klds=_array(values, "klds"), dps=_array(values, "dps"))


def _token_figures(values: Mapping[str, Any]) -> TokenFigures:
    base = values.get("base")
    return TokenFigures(
        _array(values, "tokens"),
        _array(values, "log_probs"),
        _array(values, "ranks"),
        base and BaseFigures(*(_array(base, field.name) for field in fields(BaseFigures))),
    )


def _array(values: Mapping[str, Any], name: str) -> Array:
    return np.frombuffer(b64decode(values[name], validate=True), ARRAYS[name])
