"""The same chain in llama.cpp leaves the same candidates with the same probabilities."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from zigllm_cli.sampling import Sampling

pytestmark = pytest.mark.oracle


class LlamaChain:
    """A llama.cpp sampler chain over plain logits."""

    def __init__(self, settings: Sampling, size: int) -> None:
        import llama_cpp

        self._api = llama_cpp
        self._chain = llama_cpp.llama_sampler_chain_init(
            llama_cpp.llama_sampler_chain_default_params()
        )
        self._penalties = llama_cpp.llama_sampler_init_penalties(
            size, settings.repeat_last_n, settings.repeat_penalty, 0.0, 0.0
        )
        for sampler in (
            self._penalties,
            llama_cpp.llama_sampler_init_top_k(settings.top_k),
            llama_cpp.llama_sampler_init_top_p(settings.top_p, 0),
            llama_cpp.llama_sampler_init_min_p(settings.min_p, 0),
            llama_cpp.llama_sampler_init_temp(settings.temperature),
        ):
            llama_cpp.llama_sampler_chain_add(self._chain, sampler)

    def filter(self, logits: np.ndarray, tokens: Sequence[int]) -> dict[int, float]:
        api = self._api
        for token in tokens:
            api.llama_sampler_accept(self._chain, token)
        data = (api.llama_token_data * len(logits))()
        for i, logit in enumerate(logits.tolist()):
            data[i].id, data[i].logit = i, logit
        row = api.llama_token_data_array(data, len(logits), -1, False)
        api.llama_sampler_apply(self._chain, ctypes.byref(row))
        left = {row.data[i].id: row.data[i].logit for i in range(row.size)}
        highest = max(left.values())
        weights = {token: float(np.exp(logit - highest)) for token, logit in left.items()}
        total = sum(weights.values())
        return {token: weight / total for token, weight in weights.items() if weight > 0}

    def close(self) -> None:
        self._api.llama_sampler_free(self._chain)


def cases() -> Iterator[Sampling]:
    yield Sampling()
    yield Sampling(temperature=0)
    yield Sampling(temperature=1.7, top_k=0, top_p=1, min_p=0)
    yield Sampling(top_k=5)
    yield Sampling(top_k=0, top_p=0.5)
    yield Sampling(top_k=0, top_p=0)
    yield Sampling(top_k=0, top_p=1, min_p=0.2, temperature=0.3)
    yield Sampling(top_k=1000, top_p=0.99, min_p=0.001)
    yield Sampling(repeat_penalty=1.3)
    yield Sampling(repeat_penalty=0.8, repeat_last_n=3, top_k=100)


@pytest.mark.parametrize("settings", list(cases()), ids=str)
@pytest.mark.parametrize("size", [11, 512, 6000])
def test_same_distribution(settings: Sampling, size: int) -> None:
    rng = np.random.default_rng(size)
    for scale in (0.5, 4):
        logits = (rng.standard_normal(size) * scale).astype(np.float32)
        tokens = rng.integers(0, size, 80).tolist()
        theirs = LlamaChain(settings, size)
        expected = theirs.filter(logits, tokens)
        theirs.close()
        candidates = settings.chain().filter(logits, tokens)
        ours = dict(zip(candidates.ids.tolist(), candidates.probabilities(), strict=True))
        assert set(ours) == set(expected)
        for token, probability in expected.items():
            assert ours[token] == pytest.approx(probability, rel=1e-5)
