"""PEFT's LoRA folders to GGUF adapters: adapter_config.json, adapter_model.safetensors or .bin.

The base model's family says under which name each changed matrix stands in GGUF files, and where
its rows go: rows of W go with rows of B, because W + B A is what is multiplied. So B is sent
through the family as if it were the matrix, and A stays as it is; where matrices lie with rows and
columns exchanged (GPT-2), PEFT's pair does not. Of the base its config.json or GGUF file is enough.

Source: PEFT's `lora/layer.py` and `save_and_load.py`. `models.adapters` tells what is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from typing import Any

from zigllm_cli.convert.conversion import Conversion, Keys, Options, SourceTensor
from zigllm_cli.convert.hf.config import Config, read_object
from zigllm_cli.convert.hf.families import family_of
from zigllm_cli.convert.hf.family import EXPERT, LAYER, Family, bare
from zigllm_cli.convert.safetensors import SafetensorsFile
from zigllm_cli.convert.torch import read_torch, tensors_of, values_of
from zigllm_cli.convert.values import Values, stacked
from zigllm_cli.errors import InputError, UnsupportedError, UsageError
from zigllm_cli.gguf import GGUFFile, ValueType, open_gguf

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

NAME = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?:(?P<table>embedding)_)?(?P<half>[AB])"
    r"(?:\.default)?(?:\.weight)?"
)

COPIES = ".base_layer.weight"
"""What PEFT saves of an embedding table or a head, unchanged, if its pair changes it."""

REFUSED = {
    "use_dora": "it is DoRA, which also scales columns",
    "use_qalora": "it is QALoRA, whose A is for groups of columns",
    "layer_replication": "it repeats layers of its base",
    "alora_invocation_tokens": "it is an activated LoRA, which works from a phrase on only",
    "trainable_token_indices": "it has new rows of the embedding table",
    "target_parameters": "it changes parameters that are no matrices of layers",
}
"""Settings that make an adapter more than B A, where they are set."""

CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "phi3": "Phi3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}
"""Architectures whose GGUF file says all that names and rows depend on, and their class."""


@dataclass
class Pair:
    """The two halves of a change, as PEFT has them.

    Attributes:
        module: of the base, as transformers names it.
        a, b: [rank, columns], [rows, rank].
        table: whether the module is an embedding table.
    """

    module: str
    halves: dict[str, Values] = field(default_factory=dict)
    table: bool = False

    @property
    def a(self) -> Values:
        return self.halves["A"]

    @property
    def b(self) -> Values:
        return self.halves["B"]

    @property
    def rank(self) -> int:
        return self.a.shape[0]


def recognises(path: Path) -> bool:
    """A folder with an adapter_config.json, and no whole model."""
    return (path / CONFIG).is_file() and any((path / name).is_file() for name in WEIGHTS)


def read(path: Path, options: Options) -> Conversion:
    """The adapter of a folder.

    Raises:
        InputError: a file is damaged, or one half of a pair is missing.
        UnsupportedError: an adapter that is more than low-rank changes.
        UsageError: the base model is not known.
    """
    if not recognises(path):
        raise InputError(f"{path} has no {CONFIG} with weights: it is no PEFT folder")
    config = read_object(path / CONFIG)
    alpha = _alpha(config, path)
    weights = next(path / name for name in WEIGHTS if (path / name).is_file())
    pairs = _pairs(weights)
    base = options.base or _said_base(config)
    if base is None:
        raise UsageError(
            f"{path} says nothing of a base model that is here: name it with --base, its folder or"
            " its GGUF file"
        )
    family = _family(base)
    scaled = [replace_b(pair, _factor(pair, config, alpha)) for pair in pairs]
    keys = Keys()
    keys.text("adapter.type", "lora")
    keys.f32("adapter.lora.alpha", alpha)
    return Conversion.make(
        "a PEFT adapter",
        family.architecture,
        keys,
        list(_tensors(scaled, family)),
        name=options.name or path.resolve().name,
        general={"general.type": (ValueType.STRING, "adapter")},
        paths=[weights],
    )


# ------------------------------------------------------------------ settings


def _alpha(config: Mapping[str, Any], path: Path) -> float:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UnsupportedError(f"{path} is an adapter of type {kind!r:.50}; only LORA is converted")
    for setting, reason in REFUSED.items():
        if config.get(setting):
            raise UnsupportedError(f"{path} cannot be a GGUF adapter: {reason}; merge it with PEFT")
    if config.get("bias", "none") != "none":
        raise UnsupportedError(f"{path} also changes biases: merge it into its base with PEFT")
    alpha = config.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not alpha:
        raise InputError(f"{path / CONFIG}: lora_alpha is {alpha!r:.50}, not a number above 0")
    return float(alpha)


def _factor(pair: Pair, config: Mapping[str, Any], alpha: float) -> float:
    """What B is multiplied with so that alpha / rank, which readers apply, is what PEFT applies."""
    patterns = config.get("alpha_pattern") or {}
    mine = next((patterns[key] for key in patterns if _fits(pair.module, key)), alpha)
    root = sqrt(pair.rank) if config.get("use_rslora") else 1.0
    return float(mine) / alpha * root


def _fits(module: str, pattern: str) -> bool:
    """Whether a key of `alpha_pattern` means a module: its name, or the end of it.

    Raises:
        UnsupportedError: it is more than a name.
    """
    if not re.fullmatch(r"\^?[\w.]+\$?", pattern):
        raise UnsupportedError(f"the pattern {pattern!r:.80} of alpha_pattern is no plain name")
    name = pattern.strip("^$")
    return module == name or (not pattern.startswith("^") and module.endswith(f".{name}"))


def _said_base(config: Mapping[str, Any]) -> Path | None:
    """The base that the adapter names, if it is a folder here."""
    name = config.get("base_model_name_or_path")
    path = Path(name) if isinstance(name, str) and name else None
    return path if path and (path / "config.json").is_file() else None


# ------------------------------------------------------------------ pairs


def _pairs(path: Path) -> list[Pair]:
    """All changes of a file.

    Raises:
        InputError: one lacks a half.
        UnsupportedError: a tensor that is no half of a change.
    """
    values: Iterable[Values]
    if path.suffix == ".safetensors":
        values = SafetensorsFile(path)
    else:
        values = (values_of(name, t) for name, t in tensors_of(read_torch(path)).items())
    found: dict[str, Pair] = {}
    for tensor in values:
        if tensor.name.endswith(COPIES):
            continue
        match = NAME.fullmatch(tensor.name)
        if not match:
            raise UnsupportedError(
                f"{path}: {tensor.name} is no half of a low-rank change; merge it with PEFT"
            )
        pair = found.setdefault(match["module"], Pair(match["module"]))
        pair.halves[match["half"]] = tensor
        pair.table = bool(match["table"])
    for pair in found.values():
        if len(pair.halves) < 2:
            raise InputError(f"{path}: only one half of the change of {pair.module} is there")
        shapes = pair.a.shape, pair.b.shape
        if any(len(shape) != 2 for shape in shapes) or pair.a.shape[0] != pair.b.shape[1]:
            raise InputError(f"{path}: {pair.module} is changed by {shapes[0]} and {shapes[1]}")
    if not found:
        raise InputError(f"{path} has no tensors")
    return list(found.values())


def replace_b(pair: Pair, factor: float) -> Pair:
    """The pair with B times a factor."""
    if factor == 1:
        return pair
    b = pair.b.computed(lambda array: array * array.dtype.type(factor))
    return Pair(pair.module, {"A": pair.a, "B": b}, pair.table)


# ------------------------------------------------------------------ the base


def _family(base: Path) -> Family:
    if base.is_dir():
        path = base / "config.json"
        if not path.is_file():
            raise UsageError(
                f"{base} has no config.json: --base takes a model's folder or GGUF file"
            )
        return family_of(Config(read_object(path), path))
    file = open_gguf(base)
    if file.architecture not in CLASSES:
        raise UnsupportedError(
            f"{base} is {file.architecture or 'of no architecture'}, of which a GGUF file is not"
            " enough: name the base's folder with --base"
        )
    return family_of(Config(_config_of(file), base))


def _config_of(file: GGUFFile) -> dict[str, Any]:
    """What a config.json would say, as far as names and rows depend on it."""
    experts = file.hyperparameter("expert_count")
    name = "MixtralForCausalLM" if experts else CLASSES[file.architecture]
    return {
        "architectures": [name],
        "num_hidden_layers": file.hyperparameter("block_count"),
        "hidden_size": file.hyperparameter("embedding_length"),
        "num_attention_heads": file.hyperparameter("attention.head_count"),
        "num_key_value_heads": file.hyperparameter("attention.head_count_kv"),
        "num_local_experts": experts,
    }


# ------------------------------------------------------------------ tensors


def _tensors(pairs: list[Pair], family: Family) -> Iterator[SourceTensor]:
    """The halves under their GGUF names.

    Raises:
        InputError: an expert is missing.
        UnsupportedError: a matrix that GGUF has not, or has with other columns.
    """
    experts = [pair for pair in pairs if EXPERT.search(bare(pair.module))]
    for pair in pairs:
        if pair.table:
            yield from _table_change(pair, family)
        elif pair not in experts:
            yield from _changes(pair, family)
    yield from _expert_changes(experts, family)


def _sent(family: Family, pair: Pair, values: Values) -> list[SourceTensor]:
    """What the family makes of a matrix under the name of a pair's module."""
    extra = {tensor.name for tensor in family.extra()}
    tensors = family.tensors([replace(values, name=f"{pair.module}.weight")])
    found = [tensor for tensor in tensors if tensor.name not in extra]
    if not found:
        raise UnsupportedError(f"the adapter changes {pair.module}, which GGUF files do not hold")
    return found


def _changes(pair: Pair, family: Family) -> Iterator[SourceTensor]:
    """A pair, or one for each part of a matrix that GGUF has in parts."""
    rows = pair.b.shape[0]
    wide = rows + 1  # so that a matrix and its transpose differ in shape
    probe = replace(pair.a, shape=(rows, wide))  # nobody reads it
    exchanged = any(tensor.shape[0] != wide for tensor in _sent(family, pair, probe))
    for tensor in _sent(family, pair, pair.b.transposed() if exchanged else pair.b):
        if tensor.shape[0] != pair.rank or len(tensor.shape) != 2:
            raise UnsupportedError(
                f"the adapter changes {pair.module}, whose columns GGUF has elsewhere: merge it"
                " with PEFT"
            )
        yield pair.a.becomes(f"{tensor.name}.lora_a")
        yield replace(tensor, name=f"{tensor.name}.lora_b")


def _table_change(pair: Pair, family: Family) -> Iterator[SourceTensor]:
    """Of an embedding table, whose A has a column for each token."""
    whole, *_ = _sent(family, pair, replace(pair.a, shape=(pair.a.shape[1], pair.b.shape[0])))
    yield pair.a.transposed().becomes(f"{whole.name}.lora_a")
    yield pair.b.becomes(f"{whole.name}.lora_b")


def _expert_changes(pairs: list[Pair], family: Family) -> Iterator[SourceTensor]:
    """Changes of experts, which GGUF has one above the other."""
    found: dict[str, dict[int, Pair]] = {}
    for pair in pairs:
        match = LAYER.fullmatch(bare(pair.module))
        inner = match[2] if match else pair.module
        number = EXPERT.search(inner)
        new = family.block.get(EXPERT.sub("experts.#.", inner))
        if not match or not number or new is None:
            raise UnsupportedError(f"the adapter changes {pair.module}, which is not converted")
        found.setdefault(f"blk.{match[1]}.{new}.weight", {})[int(number[1])] = pair
    for name, experts in found.items():
        count = family.config.experts
        if set(experts) != set(range(count)):
            raise InputError(f"the adapter changes {len(experts)} of {count} experts of {name}")
        for half in "AB":
            parts = [experts[number].halves[half] for number in range(count)]
            yield stacked(parts).becomes(f"{name}.lora_{half.lower()}")
