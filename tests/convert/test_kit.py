"""Every Hugging Face folder of the kit against the file that another converter made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conversions import converted, differences
from model_runs import all_at_once, logits, runner

from zigllm_cli.gguf import open_gguf

BY_HAND = {"general.type", "general.size_label", "general.quantization_version", "order"}
"""What the kit's files that were written by hand lack; their tensors have an order of their own."""

DOCUMENTED = {
    "gemma": {"tokenizer.ggml.eot_token_id"},
    "gptj": BY_HAND | {"tokenizer.ggml.add_bos_token"},
    "gptneo": BY_HAND | {"tokenizer.ggml.add_bos_token"},
    "gptneox": {"general.file_type"},
    "mpt": {"general.file_type"},
}
"""The differences that docs/convert.md tells."""

NAMES = {"phi3-longrope": "tiny-longrope"}
MODELS = (
    *("bert-cls", "bert-mean", "bloom", "falcon-mq", "falcon-new", "gemma", "gemma2", "gemma3"),
    *("gpt2", "gptj", "gptneo", "gptneox", "llama-gqa-spm", "llama-k256", "llama3-bpe-ropescale"),
    *("mamba", "mistral-swa", "mixtral", "mpt", "olmo2", "phi2", "phi3-longrope", "qwen1", "qwen2"),
    *("qwen2-k256", "qwen2moe", "qwen3", "stablelm", "starcoder", "starcoder2"),
)


def convert_from_kit(kit: Path, model: str, target: Path) -> Path:
    """The kit's own file of the model whose folder was converted."""
    theirs = kit / "models" / model / "model-f32.gguf"
    pre = open_gguf(theirs).metadata.get("tokenizer.ggml.pre")
    converted(kit / "models" / model / "hf", target, name=NAMES.get(model, model), pre=pre)
    return theirs


@pytest.mark.parametrize("model", [name for name in MODELS if name != "qwen1"])
def test_same_keys_and_tensors(kit: Path, tmp_path: Path, model: str) -> None:
    mine = tmp_path / "mine.gguf"
    theirs = convert_from_kit(kit, model, mine)
    assert set(differences(mine, theirs)) == DOCUMENTED.get(model, set())


@pytest.mark.parametrize("model", MODELS)
def test_same_logits(kit: Path, tmp_path: Path, model: str) -> None:
    mine = tmp_path / "mine.gguf"
    theirs = convert_from_kit(kit, model, mine)
    reference = np.load(kit / "models" / model / "reference.npz")
    is_encoder = model.startswith("bert")
    tokens = reference["tokens_0" if is_encoder else "tokens"].tolist()
    results = []
    for path in (mine, theirs):
        options = {"output": "hidden", "context": 128} if is_encoder else {}
        with runner(path, **options) as run:
            if is_encoder:
                results.append(run.step(all_at_once([tokens])))
            else:
                results.append(logits(run, tokens, len(tokens)))
    exact = model != "qwen1"
    np.testing.assert_allclose(*results, rtol=0, atol=0 if exact else 1e-5)
