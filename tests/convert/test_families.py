"""Families that the kit has no folder of, against the reference converter's files of them.

`data/families/make.py` makes the models anew from their seeds; the files beside it were converted
by llama.cpp.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from conversions import converted, differences, ulps, without
from model_runs import MADE

NO_TOKENIZER = {"tokenizer.ggml.model"}
OWN_NAMES = {"general.name", "general.size_label"}
BY_HAND = {"general.type", "general.file_type", "general.quantization_version", "order"}
DOCUMENTED = {
    "falcon-mamba": {"blk.0.ssm_a", "blk.1.ssm_a"},
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


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", MODELS)
def test_same_keys_and_tensors(make: ModuleType, tmp_path: Path, model: str) -> None:
    make.build(model).save_pretrained(tmp_path / "hf")
    converted(tmp_path / "hf", tmp_path / "mine.gguf", "f16")
    theirs = MADE / f"{model}.gguf"
    found = without(differences(tmp_path / "mine.gguf", theirs), NO_TOKENIZER | OWN_NAMES)
    assert not found - DOCUMENTED.get(model, set())
    for name in found:
        if name.endswith("ssm_a"):
            assert ulps(tmp_path / "mine.gguf", theirs, name) == 1
