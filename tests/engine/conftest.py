"""A runner without a model: what may follow depends on all tokens so far, in a plain way."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.engine.batch import Batch
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.tokenizers import Tokenizer


class FakeRunner:
    """Keeps the tokens of each slot as its cache; logits are random numbers seeded by them.

    Attributes:
        steps: how many tokens each step had, in order.
        script: if set, the ids that follow a sequence of this length are sure.
    """

    def __init__(self, file: GGUFFile, vocabulary: int, context: int, sequences: int) -> None:
        self.file = file
        self.vocabulary = vocabulary
        self.context = context
        self.sequences = sequences
        self.batch = 8
        self.threads = 1
        self.cache = SimpleNamespace(kv_type="f16")
        self.slots: list[list[int]] = [[] for _ in range(sequences)]
        self.steps: list[int] = []
        self.script: dict[int, int] = {}

    def step(self, batch: Batch) -> np.ndarray:
        assert len(batch.tokens) == len(batch.positions) == len(batch.sequences) > 0
        self.steps.append(len(batch.tokens))
        rows = []
        for i, (token, position, slot) in enumerate(
            zip(batch.tokens, batch.positions, batch.sequences, strict=True)
        ):
            assert 0 <= token < self.vocabulary
            assert position == len(self.slots[slot]) < self.context
            self.slots[slot].append(token)
            if i in batch.outputs:
                rows.append(self.logits(self.slots[slot]))
        return np.stack(rows)

    def logits(self, tokens: list[int]) -> np.ndarray:
        rng = np.random.default_rng([*tokens, len(tokens)])
        row = rng.standard_normal(self.vocabulary).astype(np.float32) * 3
        if len(tokens) in self.script:
            row[self.script[len(tokens)]] = 100
        return row

    def length(self, slot: int) -> int:
        return len(self.slots[slot])

    def truncate(self, slot: int, length: int) -> None:
        assert length <= len(self.slots[slot])
        del self.slots[slot][length:]

    def copy(self, source: int, target: int) -> None:
        self.slots[target] = list(self.slots[source])

    def shift(self, slot: int, keep: int, drop: int) -> None:
        assert keep + drop <= len(self.slots[slot])
        del self.slots[slot][keep : keep + drop]

    def state(self, slot: int) -> bytes:
        return pickle.dumps(self.slots[slot])

    def restore(self, slot: int, state: bytes) -> None:
        if not state.startswith(b"\x80"):
            raise InputError("the state is of another type of cache")
        self.slots[slot] = pickle.loads(state)


Fake = Callable[..., FakeRunner]


@pytest.fixture(scope="session")
def small_file() -> GGUFFile:
    return zigllm_cli.load(RANDOM).file


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return zigllm_cli.load(RANDOM).tokenizer


@pytest.fixture
def fake(small_file: GGUFFile, tokenizer: Tokenizer) -> Fake:
    """Make a `FakeRunner` for the built-in model's vocabulary."""

    def make(context: int = 64, sequences: int = 1) -> FakeRunner:
        return FakeRunner(small_file, len(tokenizer), context, sequences)

    return make


@pytest.fixture(scope="session")
def torch_llama() -> Callable[[Path], Any]:
    """Open an F32 file of a small LLaMA with transformers."""
    return lru_cache(_torch_llama)


NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def _torch_llama(path: Path) -> Any:
    """A `LlamaForCausalLM` with tied embeddings and the weights of an F32 file."""
    import gguf
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    reader = gguf.GGUFReader(path)

    def key(name: str) -> Any:
        return reader.fields[f"llama.{name}"].contents()

    heads, kv_heads = key("attention.head_count"), key("attention.head_count_kv")
    tensors = {t.name: np.array(t.data, np.float32) for t in reader.tensors}
    config = LlamaConfig(
        vocab_size=len(tensors["token_embd.weight"]),
        hidden_size=key("embedding_length"),
        intermediate_size=key("feed_forward_length"),
        num_hidden_layers=key("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=key("context_length"),
        rms_norm_eps=key("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings=True,
    )
    state = {
        "model.embed_tokens.weight": tensors["token_embd.weight"],
        "lm_head.weight": tensors["token_embd.weight"],
        "model.norm.weight": tensors["output_norm.weight"],
    }
    for name, values in tensors.items():
        if name.startswith("blk."):
            _, block, part, _ = name.split(".")
            if part in ("attn_q", "attn_k"):  # pairs of neighbours become halves
                count = heads if part == "attn_q" else kv_heads
                values = values.reshape(count, -1, 2, values.shape[1]).swapaxes(1, 2)
                values = values.reshape(-1, values.shape[-1])
            state[f"model.layers.{block}.{NAMES[part]}.weight"] = values
    model = LlamaForCausalLM(config)
    model.load_state_dict({name: torch.from_numpy(v.copy()) for name, v in state.items()})
    return model.eval()
