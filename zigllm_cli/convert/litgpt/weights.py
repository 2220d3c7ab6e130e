"""lit_model.pth: tensors under the names of transformers.

attn.qkv    all queries, all keys, all values
attn.attn   the same before litgpt 0.5.4: for each group its queries, its key, its value
LoRA        W + alpha / r * B A; of qkv, A and B hold only the parts that are changed, in order
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np

from zigllm_cli.convert.litgpt import LORA, MODEL
from zigllm_cli.convert.litgpt.config import Shape, read_yaml
from zigllm_cli.convert.torch import read_torch, tensors_of, values_of
from zigllm_cli.convert.values import Array, Values, concatenated
from zigllm_cli.errors import InputError, UnsupportedError, UsageError

SETTINGS = "hyperparameters.yaml"

LLAMA = {
    "transformer.wte": "model.embed_tokens",
    "transformer.ln_f": "model.norm",
    "lm_head": "lm_head",
    "norm_1": "input_layernorm",
    "attn.proj": "self_attn.o_proj",
    "attn.norm_q": "self_attn.q_norm",
    "attn.norm_k": "self_attn.k_norm",
    "norm_2": "post_attention_layernorm",
    "mlp.fc_1": "mlp.gate_proj",
    "mlp.fc_2": "mlp.up_proj",
    "mlp.proj": "mlp.down_proj",
    "mlp.gate": "block_sparse_moe.gate",
    "mlp.experts.#.fc_1": "block_sparse_moe.experts.#.w1",
    "mlp.experts.#.fc_2": "block_sparse_moe.experts.#.w3",
    "mlp.experts.#.proj": "block_sparse_moe.experts.#.w2",
}
NEOX = {
    "transformer.wte": "embed_in",
    "transformer.ln_f": "final_layer_norm",
    "lm_head": "embed_out",
    "norm_1": "input_layernorm",
    "attn.proj": "attention.dense",
    "norm_2": "post_attention_layernorm",
    "mlp.fc": "mlp.dense_h_to_4h",
    "mlp.proj": "mlp.dense_4h_to_h",
}
"""Modules outside of blocks and inside; `#` stands for the number of an expert."""

BLOCK = re.compile(r"transformer\.h\.(\d+)\.(.+)")
FUSED = re.compile(r"attn\.(qkv|attn)$")
NUMBER = re.compile(r"(?<=experts\.)\d+")
PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class Weights:
    """What was found.

    Attributes:
        rows: of the embedding table, padding included.
    """

    values: list[Values]
    rows: int
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lora:
    """The low-rank changes of a checkpoint.

    Attributes:
        halves: `MODULE.lora_A` and `MODULE.lora_B`.
        scale: alpha / r.
        changed: of qkv, which parts are.
    """

    halves: dict[str, Values]
    scale: float
    changed: tuple[bool, bool, bool]

    def applied(self, values: Values, module: str) -> Values:
        """A matrix with its change, if it has one."""
        return self._sum(values, module, slice(None), slice(None))

    def applied_to_part(
        self, values: Values, module: str, number: int, sizes: tuple[int, int, int]
    ) -> Values:
        """Queries (0), keys (1) or values (2) with their change, if they have one."""
        a = self.halves.get(f"{module}.lora_A")
        if a is None:
            return values
        if not self.changed[number]:
            return values.computed(lambda array: array)  # of the same type as those beside it
        rank = a.shape[0] // sum(self.changed)
        before = [i for i in range(number) if self.changed[i]]
        start = sum(sizes[i] for i in before)
        rows_a = slice(len(before) * rank, (len(before) + 1) * rank)
        return self._sum(values, module, rows_a, slice(start, start + sizes[number]))

    def _sum(self, values: Values, module: str, rows_a: slice, rows_b: slice) -> Values:
        a, b = (self.halves.get(f"{module}.lora_{half}") for half in "AB")
        if a is None or b is None:
            return values

        def add(array: Array) -> Array:
            change: Array = b.floats()[rows_b] @ a.floats()[rows_a]
            if change.shape != array.shape:
                raise InputError(f"the LoRA of {module} has shape {change.shape}: another model's")
            return array + np.float32(self.scale) * change

        return values.computed(add)


def read_weights(folder: Path, shape: Shape, base: Path | None) -> Weights:
    """All tensors of a folder.

    Raises:
        InputError: a file is damaged, or lacks tensors.
        UsageError: the base of LoRA is not known.
    """
    lora, notes, source = None, [], folder
    if not (folder / MODEL).is_file():
        lora, said = _read_lora(folder)
        source = _base_folder(folder, base, said)
        notes.append(f"merged {folder / LORA} into {source / MODEL}")
    state = _state(source / MODEL)
    modules = NEOX if shape.kind.startswith("GPTNeoX") else LLAMA
    table = state.get("transformer.wte.weight")
    if table is None or len(table.shape) != 2:
        raise InputError(f"{source / MODEL} lacks the tensor transformer.wte.weight")
    if lora:
        _check_lora(lora, state, folder / LORA)
    values = [
        new for name, value in state.items() for new in _renamed(name, value, modules, shape, lora)
    ]
    paths = [source / MODEL] + ([folder / LORA] if lora else [])
    return Weights(values, table.shape[0], tuple(paths), tuple(notes))


def _state(path: Path) -> dict[str, Values]:
    value = read_torch(path)
    inner = value.get("model", value) if isinstance(value, dict) else value
    state = {name: values_of(name, tensor) for name, tensor in tensors_of(inner).items()}
    if not state:
        raise InputError(f"{path} has no tensors")
    return state


# ------------------------------------------------------------------ LoRA


def _read_lora(folder: Path) -> tuple[Lora, Path | None]:
    """The changes, and where their base was when they were trained."""
    halves = _state(folder / LORA)
    for name in halves:
        stem = name[:-1]
        if not stem.endswith(".lora_") or any(stem + half not in halves for half in "AB"):
            raise InputError(f"{folder / LORA}: {name} is no half of a low-rank change")
    settings = read_yaml(folder / SETTINGS)
    rank, alpha = settings.get("lora_r"), settings.get("lora_alpha")
    for name, value in (("lora_r", rank), ("lora_alpha", alpha)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
            raise InputError(f"{folder / SETTINGS}: {name} is {value!r:.50}, not a number above 0")
    query, key, value = (bool(settings.get(f"lora_{part}")) for part in PARTS)
    said = settings.get("checkpoint_dir")
    base = Path(said) if isinstance(said, str) else None
    return Lora(halves, alpha / rank, (query, key, value)), base  # type: ignore[operator]


def _check_lora(lora: Lora, state: dict[str, Values], path: Path) -> None:
    """Whether everything that is changed is there."""
    for name in lora.halves:
        module = name.rpartition(".")[0]
        if not any(f"{other}.weight" in state for other in _names_of(module)):
            raise InputError(f"{path} changes {module}, which the base has not")
        if FUSED.search(module) and not any(lora.changed):
            raise InputError(
                f"{path} changes {module}, but {SETTINGS} says that neither queries, keys nor"
                " values are changed"
            )


def _names_of(module: str) -> list[str]:
    """A module; both of its names if it is a fused one."""
    if not FUSED.search(module):
        return [module]
    return [FUSED.sub(f"attn.{name}", module) for name in ("qkv", "attn")]


def _base_folder(folder: Path, given: Path | None, said: Path | None) -> Path:
    for base in (given, said):
        if base is not None and (base / MODEL).is_file():
            return base
    raise UsageError(
        f"{folder} holds only LoRA, and its base is not at {given or said}: name the base's folder"
        " with --base"
    )


# ------------------------------------------------------------------ names


def _renamed(
    name: str, values: Values, modules: dict[str, str], shape: Shape, lora: Lora | None
) -> Iterator[Values]:
    """A tensor under its name in transformers, with its LoRA in it; of fused ones, the parts."""
    module, _, ending = name.rpartition(".")
    block = BLOCK.fullmatch(module)
    inner = block[2] if block else module
    if block and FUSED.fullmatch(inner):
        yield from _fused(module, ending, values, modules is NEOX, shape, lora)
        return
    number = NUMBER.search(inner)
    new = modules.get(NUMBER.sub("#", inner))
    if new is None or ending not in ("weight", "bias"):
        raise UnsupportedError(f"{name} is not a tensor of a {shape.kind} model")
    if number:
        new = new.replace("#", number[0])
    if lora and ending == "weight":
        values = lora.applied(values, module)
    start = f"model.layers.{block[1]}." if block else ""
    yield replace(values, name=f"{start}{new}.{ending}")


def _fused(
    module: str, ending: str, values: Values, neox: bool, shape: Shape, lora: Lora | None
) -> Iterator[Values]:
    head, per_group = shape.head, shape.queries // shape.groups
    sizes = (shape.queries * head, shape.groups * head, shape.groups * head)
    parts = values.split(*sizes) if module.endswith(".qkv") else _apart(values, shape, sizes)
    if lora and ending == "weight":
        names = _names_of(module)
        stem = next((name for name in names if f"{name}.lora_A" in lora.halves), module)
        parts = [lora.applied_to_part(part, stem, i, sizes) for i, part in enumerate(parts)]
    layer = module.split(".")[2]
    if neox:
        groups = (shape.groups, per_group + 2, head)
        whole = _together(parts, groups)
        yield replace(whole, name=f"model.layers.{layer}.attention.query_key_value.{ending}")
        return
    for letter, part in zip("qkv", parts, strict=True):
        yield replace(part, name=f"model.layers.{layer}.self_attn.{letter}_proj.{ending}")


def _apart(values: Values, shape: Shape, sizes: tuple[int, int, int]) -> list[Values]:
    """Queries, keys and values of rows that stand group by group."""
    per_group, rest = shape.queries // shape.groups, values.shape[1:]
    if values.shape[0] != sum(sizes):
        raise InputError(f"{values.name} has {values.shape[0]} rows instead of {sum(sizes)}")
    grouped = (shape.groups, per_group + 2, shape.head, *rest)
    cuts = (slice(0, per_group), slice(per_group, per_group + 1), slice(per_group + 1, None))

    def taking(cut: slice, rows: int) -> Values:
        return values.moved(
            (rows, *rest), lambda array: array.reshape(grouped)[:, cut].reshape(rows, *rest)
        )

    return [taking(cut, rows) for cut, rows in zip(cuts, sizes, strict=True)]


def _together(parts: list[Values], groups: tuple[int, int, int]) -> Values:
    """Queries, keys and values, group by group."""
    whole, (count, heads, head) = concatenated(parts), groups
    rest = whole.shape[1:]

    def move(array: Array) -> Array:
        queries = array[: count * (heads - 2) * head].reshape(count, heads - 2, head, *rest)
        others = array[count * (heads - 2) * head :].reshape(2, count, 1, head, *rest)
        return np.concatenate([queries, *others], axis=1).reshape(whole.shape)

    return whole.moved(whole.shape, move)
