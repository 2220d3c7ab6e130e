"""How the checkpoints of one family become GGUF: names, hyper-parameters, and what has to move.

A family of `families/` says these things as tables and, where numbers change, as a few lines. Its
names are those of transformers without the prefixes that differ from one class to another
(`model.`, `transformer.`, ...); `.weight` and `.bias` are carried over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from zigllm_cli.convert.conversion import Keys, SourceTensor
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.rope import llama3_factors, put_rope_keys
from zigllm_cli.convert.hf.rows import to_neighbours
from zigllm_cli.convert.values import Values, constant, stacked
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import ValueType

PREFIXES = (
    *("model.", "language_model.", "transformer.", "backbone.", "gpt_neox.", "text_model."),
    *("bert.", "roberta.", "distilbert.", "ernie."),
)
LAYER = re.compile(r"(?:encoder\.)?(?:layers?|h|blocks)\.(\d+)\.(.+)")
EXPERT = re.compile(r"\bexperts\.(\d+)\.")

BUFFERS = re.compile(
    r"(.*\.)?(rotary_emb\.inv_freq|position_ids|masked_bias|(attn|attention)\.bias)"
)
"""Tensors that only hold what a program can compute."""

PICTURES_AND_SOUND = re.compile(
    r".*(visual\.|vision[._]|audio[._]|projector[._]|image_newline|patch_embed|talker\.)"
)
"""Tensors of the parts of a multimodal model that turn pictures and sound into embeddings."""

Tables = Mapping[str, str]

LLAMA_WHOLE = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}
LLAMA_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""The names that most families of today share."""

QK_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
EXPERTS = {
    "mlp.gate": "ffn_gate_inp",
    "mlp.experts.#.down_proj": "ffn_down_exps",
    "mlp.experts.#.gate_proj": "ffn_gate_exps",
    "mlp.experts.#.up_proj": "ffn_up_exps",
}
"""`#` stands for the number of an expert; all of them are stacked into one tensor."""

GATING = {"softmax": 1, "sigmoid": 2, "sqrtsoftplus": 4}


class Family:
    """One family's checkpoints.

    Attributes:
        architecture: `general.architecture`.
        whole, block: names outside of layers and inside, and GGUF's.
        permuted: whether query and key rows go from rotated halves to rotated neighbours, which
            GGUF's files of this architecture want.
        one_more: whether GGUF's norm weights are those of the checkpoint plus one.
        left_out: names that GGUF has no use for.
        theta: the base of rotation where the file says none.
        head_dim: the width of heads where the file says none; 0 for WIDTH / HEADS, None to leave
            it to the reader of the file.
    """

    architecture: ClassVar[str]
    whole: ClassVar[Tables] = LLAMA_WHOLE
    block: ClassVar[Tables] = LLAMA_BLOCK
    permuted: ClassVar[bool] = False
    one_more: ClassVar[bool] = False
    left_out: ClassVar[re.Pattern[str] | None] = None
    theta: ClassVar[float] = 10000.0
    head_dim: ClassVar[int | None] = None

    def __init__(self, config: Config) -> None:
        self.config = config
        self.notes: list[str] = []
        self._experts: dict[tuple[int, str], dict[int, Values]] = {}

    # ------------------------------------------------------------------ hyper-parameters

    def put_keys(self, keys: Keys) -> None:
        """Hyper-parameters; these are what most families have."""
        c = self.config
        feed_forward = c.whole("intermediate_size", "n_inner", "hidden_dim")
        self.put_sizes(keys, self.context_length(), feed_forward)
        keys.u32(".attention.head_count_kv", c.whole("num_key_value_heads", "n_kv_heads"))
        if c.get("is_causal") is False:
            keys.flag(".attention.causal", False)
        put_rope_keys(keys, c, self.theta)
        keys.f32(".attention.layer_norm_rms_epsilon", c.number("rms_norm_eps", "norm_eps"))
        keys.f32(".attention.layer_norm_epsilon", self.norm_epsilon())
        self.put_expert_keys(keys)
        width = c.whole("head_dim") or (c.head_width if self.head_dim == 0 else self.head_dim)
        keys.u32(".attention.key_length", width)
        keys.u32(".attention.value_length", width)

    def put_sizes(self, keys: Keys, context: int | None, feed_forward: int | None) -> None:
        """The sizes that every file gives."""
        c = self.config
        keys.u32(".context_length", context)
        keys.u32(".embedding_length", c.width)
        keys.u32(".feed_forward_length", feed_forward)
        keys.u32(".block_count", c.layers)
        keys.u32(".attention.head_count", c.heads)

    def put_rotated_width(self, keys: Keys, share: float) -> None:
        """How much of each head is rotated; a share where the file says nothing."""
        said = self.config.rope_number("partial_rotary_factor")
        rotated = (share if said is None else said) * self.config.head_width
        keys.u32(".rope.dimension_count", int(rotated))

    def put_expert_keys(self, keys: Keys) -> None:
        """What a mixture of experts has."""
        c = self.config
        keys.u32(".expert_count", c.experts or None)
        keys.u32(".expert_used_count", c.whole("num_experts_per_tok", "top_k_experts"))
        keys.u32(".expert_group_count", c.whole("n_group"))
        keys.u32(".expert_group_used_count", c.whole("topk_group"))
        gating = c.get("scoring_func", "score_function", "score_func")
        if gating is not None and (not isinstance(gating, str) or gating not in GATING):
            raise InputError(f"{c.path}: scoring_func is {gating!r:.60}, which is not known")
        keys.u32(".expert_gating_func", GATING.get(gating) if gating else None)

    def context_length(self) -> int | None:
        return self.config.whole("max_position_embeddings", "n_ctx", "n_positions", "max_seq_len")

    def norm_epsilon(self) -> float | None:
        return self.config.number("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")

    def put_vocab_size(self, keys: Keys) -> None:
        keys.u32(".vocab_size", self.config.need("vocab_size"))

    def put_window(self, keys: Keys, pattern: list[bool] | None) -> None:
        """A sliding window, and which layers have it."""
        keys.u32(".attention.sliding_window", self.config.whole("sliding_window"))
        keys.array(".attention.sliding_window_pattern", ValueType.BOOL, pattern)

    def local_layers(self) -> list[bool] | None:
        """Which layers look through a window, as `layer_types` says."""
        types = self.config.get("layer_types")
        return [kind == "sliding_attention" for kind in types] if types else None

    # ------------------------------------------------------------------ tensors

    def extra(self) -> Iterator[SourceTensor]:
        """Tensors that a checkpoint has no counterpart of."""
        if self.config.rope_type == "llama3":
            factors = llama3_factors(self.config, self.theta)
            yield constant("rope_freqs", factors).becomes("rope_freqs.weight")

    def tensors(self, source: Iterable[Values]) -> Iterator[SourceTensor]:
        """The tensors of the file, in the order of the source.

        Raises:
            InputError: one that this family does not have, or an expert that is missing.
        """
        yield from self.extra()
        skipped = 0
        for values in source:
            name = bare(values.name)
            if BUFFERS.fullmatch(name) or (self.left_out and self.left_out.fullmatch(name)):
                continue
            if PICTURES_AND_SOUND.match(name):
                skipped += 1
                continue
            yield from self.tensor(name, values)
        self._check_experts()
        if skipped:
            self.notes.append(f"left out {skipped} tensors for pictures or sound")

    def tensor(self, name: str, values: Values) -> Iterator[SourceTensor]:
        """What becomes of one tensor; a family that joins several keeps them until all are here."""
        match = LAYER.fullmatch(name)
        if not match:
            for new, changed in self.outside(name, values):
                yield changed.becomes(new)
            return
        layer, inner = int(match[1]), match[2]
        if layer >= self.config.layers:
            yield from self.behind(layer, inner, values)
            return
        expert = EXPERT.search(inner)
        if expert:
            inner = EXPERT.sub("experts.#.", inner)
            yield from self._collected(layer, inner, int(expert[1]), values)
            return
        for new, changed in self.inside(inner, values):
            yield changed.becomes(f"blk.{layer}.{new}")

    def _collected(
        self, layer: int, inner: str, expert: int, values: Values
    ) -> Iterator[SourceTensor]:
        """Keep an expert's tensor; behind the last of a layer, all of them stacked."""
        if expert >= self.config.experts:
            raise InputError(
                f"{values.name} is of expert {expert}, and the model has {self.config.experts}"
            )
        found = self._experts.setdefault((layer, inner), {})
        found[expert] = values
        mine = {key: parts for key, parts in self._experts.items() if key[0] == layer}
        names = [name for name in self.block if "#" in name]
        wanted = {f"{name}.weight" for name in names}
        if {key[1] for key in mine} - wanted:
            raise InputError(f"{values.name} is not a tensor of a {self.architecture} model")
        complete = len(mine) == len(wanted) and all(
            len(parts) == self.config.experts for parts in mine.values()
        )
        if not complete:
            return
        for name in names:
            parts = self._experts.pop((layer, f"{name}.weight"))
            whole = stacked([parts[i] for i in range(self.config.experts)])
            yield whole.becomes(f"blk.{layer}.{self.block[name]}.weight")

    def _check_experts(self) -> None:
        """Whether none is left that waits for another of its layer, which is named."""
        for layer, _ in self._experts:
            for inner in (f"{name}.weight" for name in self.block if "#" in name):
                found = self._experts.get((layer, inner), {})
                missing = [i for i in range(self.config.experts) if i not in found]
                if missing:
                    name = inner.replace("#", str(missing[0]))
                    raise InputError(f"layer {layer} lacks the tensor {name}")

    def outside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        """A tensor outside of layers, under its GGUF name; none, or several, where it changes."""
        yield renamed(name, self.whole, values, self.architecture), self.shifted(name, values)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        """A tensor of a layer under its GGUF name without `blk.N.`."""
        new = renamed(name, self.block, values, self.architecture)
        if self.permuted and new.startswith(("attn_q.", "attn_k.")):
            heads = self.config.heads if new.startswith("attn_q.") else self.config.kv_heads
            values = to_neighbours(values, heads)
        yield new, self.shifted(name, values)

    def behind(self, layer: int, inner: str, values: Values) -> Iterator[SourceTensor]:
        """A tensor of a layer behind the last: those that predict several tokens are left out."""
        if not self.config.whole("num_nextn_predict_layers", "num_mtp_layers"):
            raise InputError(
                f"{values.name} belongs to layer {layer}, and the model has {self.config.layers}"
            )
        yield from ()

    def shifted(self, name: str, values: Values) -> Values:
        """A norm's weight plus one, where the family counts from there."""
        if self.one_more and name.endswith("norm.weight"):
            return values.computed(lambda array: array + array.dtype.type(1))
        return values


def bare(name: str) -> str:
    """A name without the prefixes of the classes that wrap a model."""
    while True:
        for prefix in PREFIXES:
            if name.startswith(prefix):
                name = name[len(prefix) :]
                break
        else:
            return name


def renamed(name: str, table: Tables, values: Values, architecture: str) -> str:
    """The GGUF name that a table gives; the ending stays.

    Raises:
        InputError: the table has no such name.
    """
    if name in table:
        return table[name]
    stem, dot, ending = name.rpartition(".")
    if stem in table and ending in ("weight", "bias"):
        return f"{table[stem]}{dot}{ending}"
    raise InputError(f"{values.name} is not a tensor of a {architecture} model")
