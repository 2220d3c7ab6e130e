"""A size instead of a type: the size is kept, and what it buys is worth more than a fixed mix."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zigllm_cli
from zigllm_cli.errors import UsageError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quantization.advice import advise
from zigllm_cli.quantization.budget import allocate, choose
from zigllm_cli.quantization.decisions import Wishes, decide
from zigllm_cli.quantization.file_types import file_type
from zigllm_cli.quantization.importance import Importance, Sums
from zigllm_cli.quantization.shares import shares
from zigllm_cli.quantization.write import write_quantized


def log_probabilities(path: Path, ids: list[int]) -> np.ndarray:
    logits = zigllm_cli.load(path, ctx=512).logits(ids).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def divergence(path: Path, ids: list[int], base: np.ndarray) -> float:
    return float((np.exp(base) * (base - log_probabilities(path, ids))).sum(axis=1).mean())


@pytest.mark.parametrize("fixed", ["Q4_0", "IQ4_NL", "Q4_1", "Q5_0", "Q5_1"])
def test_beats_the_fixed_mix_of_the_same_size(fixed: str, kit: Path, tmp_path: Path) -> None:
    """In KL divergence to the unquantised model, on a text, with a trained model."""
    path, rival = (kit / "real" / f"stories260K-{name}.gguf" for name in ("f32", fixed))
    source, target = open_gguf(path), tmp_path / "o.gguf"
    choice = choose(source, Wishes(), None, size=rival.stat().st_size, threads=2)
    write_quantized(source, target, choice.decisions, threads=2)
    assert target.stat().st_size <= rival.stat().st_size
    assert choice.fixed
    assert choice.noise < choice.fixed[2]
    text = (kit / "real" / "wikitext2-test-32k.txt").read_text()
    ids = zigllm_cli.load(path).tokenizer.encode(text[:2000])[:512]
    base = log_probabilities(path, ids)
    assert divergence(target, ids, base) < divergence(rival, ids, base)


def test_a_whole_mix_where_it_fits_best(kit: Path, tmp_path: Path) -> None:
    """Of the size of Q8_0 nothing is better, and the file is the same."""
    path, rival = (kit / "real" / f"stories260K-{name}.gguf" for name in ("f32", "Q8_0"))
    choice = choose(open_gguf(path), Wishes(), None, size=rival.stat().st_size, threads=2)
    write_quantized(open_gguf(path), tmp_path / "o.gguf", choice.decisions, threads=2)
    assert (tmp_path / "o.gguf").read_bytes() == rival.read_bytes()


@pytest.mark.parametrize("with_importance", [False, True])
@pytest.mark.parametrize("bits", [2.5, 3.3, 4.3, 6.0])
def test_bits_and_types_that_need_importance(bits: float, with_importance: bool, kit: Path) -> None:
    file = open_gguf(kit / "models" / "llama-k256" / "model-f32.gguf")
    importance = None
    if with_importance:
        rng = np.random.default_rng(0)
        names = [t for t in file.tensors.values() if len(t.shape) == 2]
        entries = {t.name: Sums(rng.random(t.row_length, np.float32), np.array([1])) for t in names}
        importance = Importance(entries)
    if bits < 3 and not with_importance:
        with pytest.raises(UsageError, match="need at least"):
            choose(file, Wishes(), importance, bits_per_weight=1.5, threads=2)
    choice = choose(file, Wishes(), importance, bits_per_weight=bits, threads=2)
    assert 0.9 * bits < choice.decisions.bits_per_weight <= bits
    assert choice.fixed is None or choice.noise <= choice.fixed[2]
    assert choice.as_json()["types"] == dict(choice.counts)


def test_types_that_are_given_stay(kit: Path) -> None:
    from zigllm_cli.quantization.decisions import parse_tensor_type

    file = open_gguf(kit / "models" / "llama-k256" / "model-f32.gguf")
    wishes = Wishes(
        tensor_types=(parse_tensor_type("attn_v=Q8_0"),),
        token_embedding_type=tensor_type("Q6_K"),
    )
    rows = choose(file, wishes, None, bits_per_weight=5, threads=2).decisions.rows
    types = {row.name: row.type.name for row in rows}
    assert types["token_embd.weight"] == "Q6_K"
    assert types["blk.0.attn_v.weight"] == "Q8_0"


def test_too_small(kit: Path) -> None:
    file = open_gguf(kit / "real" / "stories260K-f32.gguf")
    with pytest.raises(UsageError, match=r"need at least 0\.2 MB, but the size leaves 0\.0 MB"):
        choose(file, Wishes(), None, size=20_000, threads=2)


def on_a_hull(points: list[tuple[int, float]]) -> list[tuple[int, float, str]]:
    """Falling and convex, as `allocate` is given them."""
    names = ("IQ4_NL", "Q5_0", "Q8_0", "F16")
    size, noise, gain = points[0][0] + 1, 100.0, 10.0
    hull = [(size, noise, names[0])]
    for (step, part), name in zip(points[1:], names[1:], strict=False):
        gain *= part
        size, noise = size + step + 1, noise - gain * (step + 1)
        hull.append((size, noise, name))
    return hull


STEPS = st.lists(st.tuples(st.integers(1, 9), st.floats(0.1, 0.9)), min_size=1, max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=4), st.integers(10, 80))
def test_allocation_is_near_the_best(steps: list[list[tuple[int, float]]], limit: int) -> None:
    """Within the limit, and worse than the best of all by less than one step."""
    hulls = {f"t{i}": on_a_hull(points) for i, points in enumerate(steps)}
    possible = [c for c in product(*hulls.values()) if sum(p[0] for p in c) <= limit]
    if not possible:
        with pytest.raises(UsageError, match="need at least"):
            allocate(hulls, limit)
        return
    types = allocate(hulls, limit)
    mine = [next(p for p in hulls[name] if p[2] == kind.name) for name, kind in types.items()]
    assert sum(p[0] for p in mine) <= limit
    best = min(sum(p[1] for p in choice) for choice in possible)
    steps_of = [a[1] - b[1] for hull in hulls.values() for a, b in pairwise(hull)]
    assert sum(p[1] for p in mine) <= best + max(steps_of, default=0) + 1e-9


def test_shares() -> None:
    names = ["token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_up.weight", "blk.1.x.weight"]
    assert list(shares(names).values()) == [1, 0.125, 0.25, 0.25]
    untied = shares([*names, "output.weight"])
    assert untied["output.weight"] == 1
    assert untied["token_embd.weight"] == 0.25


def test_advice(kit: Path) -> None:
    """Sizes are those of a dry run; more bits are less error within a family."""
    file = open_gguf(kit / "models" / "llama-k256" / "model-f32.gguf")
    found = {item.name: item for item in advise(file, Wishes(), None, threads=2)}
    for name, item in found.items():
        assert item.bits_per_weight == pytest.approx(
            decide(file, file_type(name), Wishes(), has_importance=False).bits_per_weight, rel=1e-2
        )
        assert item.memory > item.nbytes
        assert item.fits
    noises = [found[name].noise for name in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")]
    assert None not in noises
    assert noises == sorted(noises)  # type: ignore[type-var]
    assert found["IQ2_XXS"].noise is None
    assert [item.nbytes for item in found.values()] == sorted(
        (item.nbytes for item in found.values()), reverse=True
    )
