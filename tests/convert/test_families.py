"""Families that the kit has no folder of, against the reference converter's files of them.

`data/families/make.py` makes the models anew from their seeds; the files beside it were converted
by llama.cpp.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conversions import converted, differences, without
from model_runs import MADE, TOLERANCE, all_at_once, distance, logits, runner

from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.families import FAMILIES as CLASSES
from zigllm_cli.convert.hf.families import family_of
from zigllm_cli.models import FAMILIES

NO_TOKENIZER = {"tokenizer.ggml.model"}
OWN_NAMES = {"general.name", "general.size_label"}
BY_HAND = {"general.type", "general.file_type", "general.quantization_version", "order"}
DOCUMENTED = {
    "nomic-bert": BY_HAND | {"nomic-bert.pooling_type", "nomic-bert.vocab_size"},
}
MODELS = sorted(path.stem for path in MADE.glob("*.npz"))


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_families", MADE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SIZES = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 66,
    "pad_token_id": 1,
}
DISTIL = {"vocab_size": 96, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4}
TEXT = SIZES | {"num_hidden_layers": 7, "num_key_value_heads": 2, "head_dim": 16}
PICTURES = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
GEMMA3 = {
    "text_config": TEXT | {"sliding_window": 8, "query_pre_attn_scalar": 16},
    "vision_config": PICTURES,
    "mm_tokens_per_image": 4,
    "image_token_index": 95,
}


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("RobertaModel", SIZES),
        ("XLMRobertaModel", SIZES),
        ("DistilBertModel", DISTIL | {"max_position_embeddings": 64}),
        ("Gemma3ForConditionalGeneration", GEMMA3),
    ],
)
def test_as_transformers_computes_it(tmp_path: Path, name: str, config: dict[str, Any]) -> None:
    """Classes that neither the kit nor the made models have: what the engine makes of them."""
    import torch
    import transformers

    kind = getattr(transformers, name)
    torch.manual_seed(1)
    model = kind(kind.config_class(**config)).eval()
    tokens = torch.randint(3, 95, (1, 20))
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(0.3 * noise if parameter.ndim > 1 else 1 + 0.2 * noise)
        out = model(tokens)
    model.save_pretrained(tmp_path / "hf")
    conversion = converted(tmp_path / "hf", tmp_path / "out.gguf")
    ids = tokens[0].tolist()
    is_encoder = not hasattr(out, "logits")
    options = {"output": "hidden"} if is_encoder else {}
    with runner(tmp_path / "out.gguf", context=64, **options) as run:
        mine = run.step(all_at_once([ids])) if is_encoder else logits(run, ids, 20)
    theirs = (out.last_hidden_state if is_encoder else out.logits)[0].numpy()
    assert distance(mine, theirs) <= TOLERANCE
    if not is_encoder:
        assert any("pictures" in note for note in conversion.notes)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", MODELS)
def test_same_keys_and_tensors(make: ModuleType, tmp_path: Path, model: str) -> None:
    make.build(model).save_pretrained(tmp_path / "hf")
    converted(tmp_path / "hf", tmp_path / "mine.gguf", "f16")
    theirs = MADE / f"{model}.gguf"
    found = without(differences(tmp_path / "mine.gguf", theirs), NO_TOKENIZER | OWN_NAMES)
    assert not found - DOCUMENTED.get(model, set())


def test_every_architecture_has_a_family() -> None:
    """All that the engine runs, but for what exists as GGUF alone."""
    found = set()
    for name in CLASSES:
        config = Config({"architectures": [name]}, Path("config.json"))
        found.add(family_of(config).architecture)
    assert set(FAMILIES) - found == {"microgpt"}
    assert found <= set(FAMILIES)
