"""From a row of logits to the next token: small samplers, one after the other, then a draw.

    chain = Sampling(temperature=0.7, seed=1).chain()
    token = chain.sample(logits, tokens_so_far)

Rules, names, defaults and order are llama.cpp's, so that the filtered distribution is the same;
the random numbers are NumPy's (PCG64). Knows logits and ids, no model and no text.
"""

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import Chain, Sampler, State
from zigllm_cli.sampling.settings import DEFAULT_ORDER, SAMPLERS, Sampling, excluding

__all__ = [
    "DEFAULT_ORDER",
    "SAMPLERS",
    "Candidates",
    "Chain",
    "Sampler",
    "Sampling",
    "State",
    "excluding",
]
