"""The same sampler in llama.cpp leaves the same candidates with the same probabilities."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.sampling import Candidates, Chain, Sampling, State, chain_for
from zigllm_cli.sampling.adaptive_p import AdaptiveP
from zigllm_cli.sampling.breakers import sequence_breakers
from zigllm_cli.sampling.mirostat import Mirostat1, Mirostat2
from zigllm_cli.sampling.xtc import Xtc

pytestmark = pytest.mark.oracle

Left = dict[int, float]

TINY = 1e-30
"""Less is nothing in float32."""


class LlamaChain:
    """llama.cpp's samplers, in the default order, over plain logits.

    Args:
        model: for its vocabulary, which DRY needs.
        last: a sampler behind the others, that draws by itself.
    """

    def __init__(
        self, settings: Sampling, size: int, *, model: LlamaModel | None = None, last: Any = None
    ) -> None:
        import llama_cpp as api

        self._api = api
        chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        s = settings
        samplers = [
            api.llama_sampler_init_penalties(
                size, s.repeat_last_n, s.repeat_penalty, s.frequency_penalty, s.presence_penalty
            )
        ]
        if model is not None:
            texts = [text.encode() for text in s.dry_sequence_breakers]
            samplers.append(
                api.llama_sampler_init_dry(
                    model.vocab,
                    s.dry_multiplier,
                    s.dry_base,
                    s.dry_allowed_length,
                    s.dry_penalty_last_n,
                    (ctypes.c_char_p * len(texts))(*texts),
                    len(texts),
                )
            )
        samplers += [
            api.llama_sampler_init_top_n_sigma(s.top_n_sigma),
            api.llama_sampler_init_top_k(s.top_k),
            api.llama_sampler_init_typical(s.typical, 0),
            api.llama_sampler_init_top_p(s.top_p, 0),
            api.llama_sampler_init_min_p(s.min_p, 0),
            api.llama_sampler_init_xtc(s.xtc_probability, s.xtc_threshold, 0, 1),
            api.llama_sampler_init_temp_ext(s.temperature, s.dynatemp_range, s.dynatemp_exp),
        ]
        for sampler in [*samplers, *([] if last is None else [last])]:
            api.llama_sampler_chain_add(chain, sampler)
        self._chain = chain

    def accept(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            self._api.llama_sampler_accept(self._chain, token)

    def apply(self, logits: np.ndarray) -> tuple[Left, int | None]:
        """Probabilities of what is left, by id, and what was drawn if something was."""
        api = self._api
        data = (api.llama_token_data * len(logits))()
        for i, logit in enumerate(logits.tolist()):
            data[i].id, data[i].logit = i, logit
        row = api.llama_token_data_array(data, len(logits), -1, False)
        api.llama_sampler_apply(self._chain, ctypes.byref(row))
        left = {row.data[i].id: row.data[i].logit for i in range(row.size)}
        highest = max(left.values())
        weights = {token: float(np.exp(logit - highest)) for token, logit in left.items()}
        total = sum(weights.values())
        probabilities = {token: w / total for token, w in weights.items() if w > 0}
        return probabilities, row.data[row.selected].id if row.selected >= 0 else None

    def close(self) -> None:
        self._api.llama_sampler_free(self._chain)


class LlamaModel:
    """A vocabulary that llama.cpp has opened."""

    def __init__(self, path: Path) -> None:
        import llama_cpp as api

        parameters = api.llama_model_default_params()
        parameters.vocab_only = True
        self.model = api.llama_model_load_from_file(str(path).encode(), parameters)
        self.vocab = api.llama_model_get_vocab(self.model)


def same(ours: Candidates, expected: Left, rel: float = 2e-5) -> None:
    mine = dict(zip(ours.ids.tolist(), ours.probabilities().tolist(), strict=True))
    assert {t for t, p in mine.items() if p > TINY} == {t for t, p in expected.items() if p > TINY}
    for token, probability in expected.items():
        assert mine.get(token, 0) == pytest.approx(probability, rel=rel, abs=1e-9)


OFF: dict[str, Any] = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}


def cases() -> Iterator[Sampling]:
    yield Sampling()
    yield Sampling(temperature=0)
    yield Sampling(**{**OFF, "temperature": 1.7})
    yield Sampling(top_k=5)
    yield Sampling(**{**OFF, "top_p": 0.5})
    yield Sampling(**{**OFF, "top_p": 0})
    yield Sampling(**{**OFF, "min_p": 0.2, "temperature": 0.3})
    yield Sampling(top_k=1000, top_p=0.99, min_p=0.001)
    yield Sampling(repeat_penalty=1.3)
    yield Sampling(repeat_penalty=0.8, repeat_last_n=3, top_k=100)
    yield Sampling(presence_penalty=0.7, frequency_penalty=0.4, top_k=0)
    yield Sampling(**OFF, frequency_penalty=-0.3, repeat_penalty=1.2, repeat_last_n=1000)
    yield Sampling(**OFF, top_n_sigma=1.0)
    yield Sampling(top_n_sigma=2.3, top_k=0)
    yield Sampling(**OFF, typical=0.4)
    yield Sampling(typical=0.8)
    yield Sampling(**OFF, xtc_probability=1, xtc_threshold=0.02)
    yield Sampling(xtc_probability=1, xtc_threshold=0.1)
    yield Sampling(xtc_probability=1, xtc_threshold=0.3)
    yield Sampling(**{**OFF, "temperature": 0.9}, dynatemp_range=0.4)
    yield Sampling(dynatemp_range=2, dynatemp_exp=0.5)
    yield Sampling(typical=0.9, xtc_probability=1, xtc_threshold=0.05, repeat_penalty=1.1, top_k=90)


@pytest.mark.parametrize("settings", list(cases()))
@pytest.mark.parametrize("size", [11, 512, 6000])
def test_same_distribution(settings: Sampling, size: int) -> None:
    rng = np.random.default_rng(size)
    for scale in (0.5, 4):
        logits = (rng.standard_normal(size) * scale).astype(np.float32)
        tokens = rng.integers(0, size, 80).tolist()
        theirs = LlamaChain(settings, size)
        theirs.accept(tokens)
        expected, _ = theirs.apply(logits)
        theirs.close()
        same(settings.chain().filter(logits, tokens), expected)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("temperature", [1.0, 1.6])
def test_same_mirostat(version: int, temperature: float) -> None:
    """Both are told llama.cpp's choices, so that their bounds move together."""
    import llama_cpp as api

    size, rng = 2000, np.random.default_rng(version)
    tau, eta = 4.0, 0.3
    if version == 1:
        theirs, ours = api.llama_sampler_init_mirostat(size, 7, tau, eta, 100), Mirostat1(tau, eta)
    else:
        theirs, ours = api.llama_sampler_init_mirostat_v2(7, tau, eta), Mirostat2(tau, eta)
    chain = LlamaChain(Sampling(**{**OFF, "temperature": temperature}), size, last=theirs)
    state = State([], np.random.default_rng(0), size)
    lengths = set()
    for _ in range(40):
        logits = (rng.standard_normal(size) * rng.uniform(0.5, 4)).astype(np.float32)
        expected, drawn = chain.apply(logits)
        assert drawn is not None
        kept = ours.apply(Candidates.of(logits / np.float32(temperature)), state)
        same(kept, expected, rel=1e-4)
        ours.accept(drawn, kept)
        lengths.add(len(kept))
    assert len(lengths) > 10
    chain.close()


def test_same_adaptive_p() -> None:
    import llama_cpp as api

    size, rng = 300, np.random.default_rng(4)
    ours = AdaptiveP(0.3, 0.8)
    chain = LlamaChain(
        Sampling(top_k=12, top_p=1), size, last=api.llama_sampler_init_adaptive_p(0.3, 0.8, 5)
    )
    before = Sampling(top_k=12, top_p=1).chain()
    state = State([], np.random.default_rng(0), size)
    for _ in range(30):
        logits = (rng.standard_normal(size) * rng.uniform(0.5, 4)).astype(np.float32)
        expected, drawn = chain.apply(logits)
        assert drawn is not None
        kept = ours.apply(before.filter(logits, []), state)
        same(kept, expected, rel=1e-4)
        ours.accept(drawn, kept)
        chain.accept([drawn])
    chain.close()


@pytest.mark.parametrize("name", ["llama-spm", "gpt-2", "qwen2"])
def test_same_dry(name: str, kit: Path) -> None:
    """Over texts that repeat themselves, with breakers that lie inside and across tokens."""
    path = kit / "vocab" / f"ggml-vocab-{name}.gguf"
    tokenizer, model = zigllm_cli.load(path).tokenizer, LlamaModel(path)
    texts = (
        "the cat sat on the mat. the cat sat on the mat. the cat sat on",
        'He said: "yes"\nShe said: "yes"\nHe said: "',
        "one two three four one two three, one two",
        "a b a b a b a b a b a b",
    )
    rng = np.random.default_rng(1)
    penalised = 0
    for breakers in (("\n", ":", '"', "*"), ("t. the c", "ree"), ()):
        settings = Sampling(
            **OFF, dry_multiplier=0.8, dry_sequence_breakers=breakers, dry_allowed_length=1
        )
        for text in texts:
            tokens = tokenizer.encode(text, add_special=False)
            logits = rng.standard_normal(len(tokenizer)).astype(np.float32)
            theirs = LlamaChain(settings, len(tokenizer), model=model)
            theirs.accept(tokens)
            expected, _ = theirs.apply(logits)
            theirs.close()
            left = chain_for(tokenizer, settings).filter(logits, tokens)
            same(left, expected, rel=1e-4)
            penalised += int((left.logits != logits).any())
    assert penalised > 6


def test_xtc_is_a_coin(kit: Path) -> None:
    """llama.cpp leaves the top choices out as often as asked; so do we."""
    settings = Sampling(**OFF, xtc_probability=0.4, xtc_threshold=0.1)
    logits = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))
    theirs = LlamaChain(settings, 4)
    often = sum(len(theirs.apply(logits)[0]) < 4 for _ in range(4000)) / 4000
    chain = Chain([Xtc(0.4, 0.1)], seed=1)
    ours = sum(len(chain.filter(logits, range(n))) < 4 for n in range(4000)) / 4000
    assert abs(often - ours) < 0.05


def test_breakers_cover_llama_cpps_cases(kit: Path) -> None:
    tokenizer = zigllm_cli.load(kit / "vocab" / "ggml-vocab-gpt-2.gguf").tokenizer
    found = sequence_breakers(['":'], tokenizer)
    (quote,), (both,) = tokenizer.encode('"'), tokenizer.encode('":')
    assert found[both] == [()]
    assert found[quote] == [tuple(tokenizer.encode(":"))]
