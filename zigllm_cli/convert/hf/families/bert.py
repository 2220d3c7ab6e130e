"""BERT and what is built like it: MiniLM, BGE, E5, DistilBERT, RoBERTa, XLM-RoBERTa."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from zigllm_cli.convert.conversion import Keys, SourceTensor
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.values import Values
from zigllm_cli.gguf import ValueType


class Bert(Family):
    """BERT: an encoder; the heads it was trained with are left out."""

    architecture = "bert"
    left_out = re.compile(r"pooler\..*|cls\.predictions.*|cls\.seq_relationship.*|lm_head\..*")
    whole = {
        "embeddings.word_embeddings": "token_embd",
        "embeddings.token_type_embeddings": "token_types",
        "embeddings.position_embeddings": "position_embd",
        "embeddings.LayerNorm": "token_embd_norm",
        "classifier": "cls",
        "classifier.dense": "cls",
        "classifier.out_proj": "cls.output",
    }
    block = {
        "attention.self.query": "attn_q",
        "attention.self.key": "attn_k",
        "attention.self.value": "attn_v",
        "attention.output.dense": "attn_output",
        "attention.output.LayerNorm": "attn_output_norm",
        "intermediate.dense": "ffn_up",
        "output.dense": "ffn_down",
        "output.LayerNorm": "layer_output_norm",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, self.context_length(), c.need("intermediate_size", "hidden_dim"))
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_eps") or 1e-12)
        keys.flag(".attention.causal", False)
        labels = self.labels()
        keys.array(".classifier.output_labels", ValueType.STRING, labels)
        keys.u32("tokenizer.ggml.token_type_count", c.whole("type_vocab_size") or 1)

    def labels(self) -> list[str] | None:
        """Names of a classifier's outputs, where it has such."""
        labels = self.config.get("id2label")
        if not isinstance(labels, dict) or "Classification" not in self.config.model_class:
            return None
        names = [str(labels[key]) for key in sorted(labels)]
        return None if len(names) == 2 and names[0] == "LABEL_0" else names

    def tensors(self, source: Iterable[Values]) -> Iterator[SourceTensor]:
        """Old checkpoints call weights and biases of norms gamma and beta."""
        return super().tensors(map(_of_today, source))

    def outside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if self.labels() and name in ("classifier.weight", "classifier.bias"):
            name = name.replace("classifier.", "classifier.out_proj.")
        yield from super().outside(name, values)


class DistilBert(Bert):
    """DistilBERT: half of the layers, no token types."""

    left_out = re.compile(r"vocab_.*|pre_classifier\..*")
    block = {
        "attention.q_lin": "attn_q",
        "attention.k_lin": "attn_k",
        "attention.v_lin": "attn_v",
        "attention.out_lin": "attn_output",
        "sa_layer_norm": "attn_output_norm",
        "ffn.lin1": "ffn_up",
        "ffn.lin2": "ffn_down",
        "output_layer_norm": "layer_output_norm",
    }


class Roberta(Bert):
    """RoBERTa and XLM-RoBERTa: positions begin behind the padding token's id."""

    def context_length(self) -> int | None:
        context = super().context_length()
        return context - self._offset() if context is not None else None

    def outside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name == "embeddings.position_embeddings.weight":
            values = values.part(self._offset(), values.shape[0])
        yield from super().outside(name, values)

    def _offset(self) -> int:
        padding = self.config.whole("pad_token_id")
        return 0 if padding is None else padding + 1


def _of_today(values: Values) -> Values:
    name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", values.name))
    return replace(values, name=name)
