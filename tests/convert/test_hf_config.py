"""Settings of folders: what files leave out, and what nobody would write there."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conversions import llama_folder
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.convert.conversion import Keys, Options
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.families import FAMILIES, family_of
from zigllm_cli.convert.hf.tokenizer import put_tokenizer
from zigllm_cli.convert.source import read_source
from zigllm_cli.errors import ZigllmError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
NAMES = (
    *("rope_scaling", "rope_parameters", "rope_theta", "layer_types", "sliding_window"),
    *("sliding_window_pattern", "num_local_experts", "num_experts_per_tok", "scoring_func"),
    *("head_dim", "num_key_value_heads", "attn_config", "attention_types", "attention_layers"),
    *("id2label", "quantization_config", "text_config", "vocab_size", "num_hidden_layers"),
    *("hidden_size", "intermediate_size", "alibi", "expansion_ratio", "pad_token_id"),
)
"""Of what families look at in ways of their own."""

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "vocab_size": 24,
}


def keys_of(**config: Any) -> dict[str, Any]:
    """The hyper-parameters of a config."""
    family = family_of(Config(config, Path("config.json")))
    keys = Keys(family.architecture)
    family.put_keys(keys)
    return {name: value for name, (_, value) in keys.values.items()}


def test_what_gemma_3_leaves_unsaid() -> None:
    """The 4B's text_config says no more than this."""
    text: dict[str, Any] = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
    }
    text |= {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}
    keys = keys_of(architectures=["Gemma3ForConditionalGeneration"], text_config=text)
    wanted = {
        "context_length": 131072,
        "attention.head_count": 8,
        "attention.head_count_kv": 4,
        "attention.key_length": 256,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.sliding_window": 1024,
        "rope.scaling.factor": 8.0,
        "rope.freq_base": 1_000_000.0,
    }
    assert {name: keys.get(f"gemma3.{name}") for name in wanted} == wanted


@given(st.sampled_from(sorted(FAMILIES)), st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_odd_settings_are_a_sentence(name: str, odd: dict[str, Any]) -> None:
    with suppress(ZigllmError):
        keys_of(**(SIZES | odd | {"architectures": [name]}))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("generation_config.json", {"top_k": float("nan")}),
        ("tokenizer.json", {"model": {"type": "BPE", "merges": 1}, "pre_tokenizer": "ByteLevel"}),
        ("tokenizer.json", {"model": {"type": "BPE", "byte_fallback": True, "merges": {}}}),
        (
            "tokenizer.json",
            {
                "model": {"type": "Unigram", "vocab": [["a", 0]]},
                "normalizer": {"type": "Precompiled", "precompiled_charsmap": "a"},
            },
        ),
    ],
)
def test_odd_files_are_a_sentence(tmp_path: Path, file: str, content: dict[str, Any]) -> None:
    folder = llama_folder(tmp_path)
    (folder / file).write_text(json.dumps(content))
    with suppress(ZigllmError):
        read_source(folder)


def test_templates_must_be_text(tmp_path: Path) -> None:
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tools.jinja").write_bytes(b"\xff\xfe")
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    config = Config(SIZES, tmp_path / "config.json")
    with pytest.raises(ZigllmError, match="no text in UTF-8"):
        put_tokenizer(Keys(), tmp_path, config, Options())
