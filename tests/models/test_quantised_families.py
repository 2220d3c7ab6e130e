"""Quantised files of every family lose no more here than in llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_runs import MADE, Reference, logits, made, nmse, reference, runner

KIT = (
    *("bloom", "falcon-mq", "falcon-new", "gemma", "gemma2", "gemma3", "gpt2", "gptneox"),
    *("llama-gqa-spm", "mpt", "olmo2", "phi2", "phi3-longrope", "qwen1", "qwen2", "qwen3"),
    *("stablelm", "starcoder", "starcoder2", "mamba", "mixtral", "qwen2moe"),
)
OWN = sorted(path.stem for path in MADE.glob("*.npz") if path.stem != "nomic-bert")
BAND = 1.5
"""Squared errors of so small models differ by chance; what both round is the same size."""


def known(model: str, kit: Path) -> tuple[Path, Reference]:
    if model in KIT:
        folder = kit / "models" / model
        return folder / "model-f32.gguf", reference(folder)
    return MADE / f"{model}.gguf", made(model)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
@pytest.mark.parametrize("model", [*KIT, *OWN])
def test_quantised(kit: Path, tmp_path: Path, model: str, kind: str) -> None:
    import llama_cpp_runs

    source, answers = known(model, kit)
    target = tmp_path / "quantised.gguf"
    llama_cpp_runs.quantize(source, target, kind)
    expected = answers.answers["hf"]
    if "llamacpp" in answers.answers:
        theirs = nmse(llama_cpp_runs.logits(target, answers.tokens), expected)
    else:  # llama.cpp takes the file for another model
        theirs = {"Q8_0": 1e-3, "Q4_K_M": 1e-1}[kind]
    with runner(target) as run:
        whole = logits(run, answers.tokens, len(answers.tokens))
        single = logits(run, answers.tokens, 1)
    assert nmse(whole, expected) <= BAND * theirs
    assert nmse(single, expected) <= BAND * theirs
