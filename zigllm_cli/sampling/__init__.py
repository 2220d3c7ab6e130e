"""From a row of logits to the next token: small samplers, one after the other, then a draw.

    chain = Sampling(temperature=0.7, seed=1).chain()
    token = chain.sample(logits, tokens_so_far)

Rules, names, defaults and order are llama.cpp's, so that the filtered distribution is the same;
the random numbers are NumPy's (Philox). Samplers know logits and ids, no model and no text;
`chain_for` binds settings to a tokenizer.
"""

from zigllm_cli.sampling.binding import chain_for
from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import Chain, Choice, Sampler, State
from zigllm_cli.sampling.settings import DEFAULT_ORDER, Sampling, excluding
from zigllm_cli.sampling.sources import PRESETS, settle

__all__ = [
    "DEFAULT_ORDER",
    "PRESETS",
    "Candidates",
    "Chain",
    "Choice",
    "Sampler",
    "Sampling",
    "State",
    "chain_for",
    "excluding",
    "settle",
]
