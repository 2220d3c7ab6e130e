"""A chain for a model: what the settings say in text, as ids of its tokenizer."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from zigllm_cli.errors import UsageError
from zigllm_cli.sampling.bias import LogitBias, MinTokens
from zigllm_cli.sampling.breakers import sequence_breakers
from zigllm_cli.sampling.chain import Chain, Sampler
from zigllm_cli.sampling.settings import Sampling, excluding

if TYPE_CHECKING:
    from zigllm_cli.tokenizers import Tokenizer


def chain_for(
    tokenizer: Tokenizer, sampling: Sampling, *, prompt: int = 0, constraint: Sampler | None = None
) -> Chain:
    """The chain of one sequence of a model.

    Args:
        tokenizer: the model's.
        prompt: tokens of the prompt, from which `min_tokens` counts.
        constraint: what the text must be like; stands in front of all.

    Raises:
        UsageError: a bias is for a token that the model does not have.
    """
    ends = tokenizer.vocabulary.end_ids
    length = prompt + sampling.min_tokens if sampling.min_tokens else 0
    before: list[Sampler] = [] if constraint is None else [constraint]
    before += [LogitBias(biases(tokenizer, sampling)), MinTokens(ends, length)]
    in_use = sampling.dry_multiplier and "dry" in sampling.order
    texts = sampling.dry_sequence_breakers if in_use else ()
    breakers = sequence_breakers(texts, tokenizer) if texts else {}
    return sampling.chain(before=before, breakers=breakers)


def biases(tokenizer: Tokenizer, sampling: Sampling) -> dict[int, float]:
    """Biases by id: what the model's file suppresses, what was asked for, and no ends if ignored.

    Raises:
        UsageError: an id is not of this model, or a text has no tokens.
    """
    values = excluding(tokenizer.vocabulary.suppressed)
    for token, bias in sampling.logit_bias.items():
        for known in _tokens(tokenizer, token):
            values[known] = values.get(known, 0.0) + bias
    if sampling.ignore_eos:
        values.update(dict.fromkeys(tokenizer.vocabulary.end_ids, -inf))
    return values


def _tokens(tokenizer: Tokenizer, token: int | str) -> list[int]:
    if isinstance(token, str):
        ids = tokenizer.encode(token, add_special=False, parse_special=True)
        if not ids:
            raise UsageError(f"logit bias: {token!r} has no tokens in this vocabulary")
        return ids
    if not 0 <= token < len(tokenizer):
        raise UsageError(f"logit bias: this model has no token {token}, only {len(tokenizer)}")
    return [token]
