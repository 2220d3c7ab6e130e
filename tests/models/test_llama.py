"""What every family inherits, shown on LLaMA: threads, types, caches, instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_runs import TOLERANCE, distance, interleaved, logits, nmse, reference, runner

from zigllm_cli.gguf import open_gguf
from zigllm_cli.models import architecture
from zigllm_cli.plan.interpreter import Interpreter

TYPES = (
    *("BF16", "F16", "IQ3_S", "IQ3_XXS", "IQ4_NL", "IQ4_XS", "Q1_0", "Q2_0", "Q2_K", "Q3_K_M"),
    *("Q4_0", "Q4_1", "Q4_K_M", "Q4_K_S", "Q5_0", "Q5_1", "Q5_K_M", "Q6_K", "Q8_0"),
    *("TQ1_0", "TQ2_0"),
)


@pytest.mark.parametrize("piece", [1, 2, 7, 16, 33])
def test_pieces_give_the_same_logits(kit: Path, piece: int) -> None:
    folder = kit / "models/llama-gqa-spm"
    known = reference(folder, long=True)
    with runner(folder / "model-f32.gguf") as run:
        mine = logits(run, known.tokens, piece)[known.positions]
    assert distance(mine, known.answers["llamacpp"]) <= TOLERANCE


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["f32", "Q4_K_M", "Q8_0"])
def test_threads_change_no_bit(kit: Path, name: str, threads: int) -> None:
    tokens = reference(kit / "models/llama-k256").tokens
    path = kit / "models/llama-k256" / f"model-{name}.gguf"
    with runner(path, threads=1) as one, runner(path, threads=threads) as many:
        for piece in (48, 7, 1):
            assert np.array_equal(logits(one, tokens, piece), logits(many, tokens, piece))


@pytest.mark.parametrize("name", ["f32", "Q4_K_M"])
def test_other_sequences_in_the_batch_do_not_matter(kit: Path, name: str) -> None:
    tokens = reference(kit / "models/llama-k256").tokens
    path = kit / "models/llama-k256" / f"model-{name}.gguf"
    with runner(path, sequences=3) as run:
        alone = logits(run, tokens, len(tokens))
        mixed = interleaved(run, tokens, 6, slot=1, other=2)
    if name == "f32":
        assert distance(mixed, alone) <= TOLERANCE
    else:
        assert nmse(mixed, alone) <= 1e-5


@pytest.mark.parametrize("name", TYPES)
def test_quantised_files(kit: Path, name: str) -> None:
    """The plan means what the file says; the kernels round no worse than another engine's."""
    folder = kit / "models/llama-k256"
    tokens = [int(token) for token in np.load(folder / "reference.npz")["tokens"]]
    answers = np.load(folder / "reference_quantised.npz")
    exact, native = answers[f"dequantised_{name}"], answers[f"native_{name}"]
    path = folder / f"model-{name}.gguf"
    plan = architecture(open_gguf(path)).plan(256)
    assert distance(Interpreter(plan, np.float32).logits(tokens), exact) <= TOLERANCE
    with runner(path) as run:
        whole = logits(run, tokens, len(tokens))
        assert nmse(whole, exact) <= 1.25 * nmse(native, exact)
        for piece in (7, 1):
            assert nmse(logits(run, tokens, piece), whole) <= 1e-5


@pytest.mark.parametrize("kv_type", ["f16", "bf16", "q8_0", "q4_0"])
def test_cache_types_lose_little(kit: Path, kv_type: str) -> None:
    folder = kit / "models/llama-gqa-spm"
    known = reference(folder)
    with runner(folder / "model-f32.gguf", kv_type=kv_type) as run:
        bound = {"f16": 1e-6, "bf16": 5e-5, "q8_0": 1e-4, "q4_0": 3e-2}[kv_type]
        for piece in (48, 1):
            assert nmse(logits(run, known.tokens, piece), known.answers["llamacpp"]) <= bound


@pytest.mark.parametrize("isa", ["portable", "avx2", "avxvnni", "avx512"])
def test_instruction_sets_agree(kit: Path, isa: str) -> None:
    """Every instruction set that this machine has gives the reference's logits."""
    program = """
import sys, numpy as np
from contextlib import closing
from pathlib import Path
from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.runner import Runner
from zigllm_cli.gguf import open_gguf
folder = Path(sys.argv[1]) / "models/llama-k256"
data, answers = np.load(folder / "reference.npz"), np.load(folder / "reference_quantised.npz")
tokens = [int(t) for t in data["tokens"]]
for name, expected in (("f32", data["logits_llamacpp"]), ("Q4_K_M", answers["dequantised_Q4_K_M"])):
    file = open_gguf(folder / f"model-{name}.gguf")
    with closing(Runner(file, threads=2, context=256, kv_type="f32")) as run:
        whole = run.step(Batch.of(tokens, 0, 0, range(48)))
        run.truncate(0, 0)
        single = [run.step(Batch.of([t], i, 0))[0] for i, t in enumerate(tokens)]
    for mine in (whole, np.array(single)):
        print(float(((mine - expected) ** 2).sum() / (expected ** 2).sum()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(kit)],
        env={**os.environ, "ZIGLLM_ISA": isa},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "which this CPU lacks" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    errors = [float(line) for line in done.stdout.split()]
    assert max(errors[:2]) < 1e-11
    assert max(errors[2:]) < 1e-3
