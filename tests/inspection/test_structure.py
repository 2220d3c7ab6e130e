"""The table of architectures: nothing sound is blamed, nothing missing is overlooked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.gguf import GGUFFile, open_gguf
from zigllm_cli.inspection.expected import COMMON_KEYS, EXPECTED, SHAPES
from zigllm_cli.inspection.needs import Choice, Item, Rule, rules
from zigllm_cli.inspection.structure import check_keys, check_tensors

Model = Callable[[str], GGUFFile]
Without = Callable[..., GGUFFile]

MODELS = (
    *("bert-cls", "bert-mean", "bloom", "falcon-mq", "falcon-new", "gemma", "gemma2"),
    *("gemma3", "gpt2", "gptj", "gptneo", "gptneox", "llama-gqa-spm", "llama-k256"),
    *("llama3-bpe-ropescale", "mamba", "mistral-swa", "mixtral", "mpt", "olmo2", "phi2"),
    *("phi3-longrope", "qwen1", "qwen2", "qwen2-k256", "qwen2moe", "qwen3", "stablelm"),
    *("starcoder", "starcoder2"),
)

OPTIONAL = {
    "output.weight": ("llama", "qwen2", "phi3"),  # tied to the embedding where it lacks
    "rope_freqs.weight": ("llama",),
    "rope_factors_long.weight": ("phi3",),
    "rope_factors_short.weight": ("phi3",),
    "token_types.weight": ("bert",),
}
"""Tensors of the kit's models without which another, sound model remains (llama.cpp's loaders)."""

OPTIONAL_KEYS = re.compile(
    r"head_count_kv|key_length|value_length|freq_base|freq_base_swa|vocab_size|rope\.scaling\..*"
    r"|attention\.causal|pooling_type|tensor_data_layout|softcapping|max_alibi_bias|dt_b_c_rms"
    r"|attention\.scale|expert_shared_feed_forward_length|expert_feed_forward_length"
)


def problems(file: GGUFFile) -> list[str]:
    found = [*check_keys(file), *check_tensors(file)]
    return [finding.message for finding in found if finding.severity == "problem"]


@pytest.mark.parametrize("name", MODELS)
def test_sound_models_have_no_findings(model: Model, name: str) -> None:
    assert [*check_keys(model(name)), *check_tensors(model(name))] == []


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_that_is_taken_away_is_missed(
    model: Model, without: Without, name: str
) -> None:
    file = model(name)
    for tensor in file.tensors:
        found = [*check_tensors(without(file, tensor))]
        if file.architecture in OPTIONAL.get(tensor, ()):
            assert found == [], tensor
            continue
        if name == "stablelm" and ".ffn_norm.weight" in tensor:
            # Without its weight the bias is left over, and the other block still has both.
            assert any(tensor in finding.message for finding in found)
            continue
        assert [f.severity for f in found if f.severity == "problem"] == ["problem"], tensor
        assert tensor in found[0].message or found[0].subject == tensor, (tensor, found)


@pytest.mark.parametrize("name", MODELS)
def test_every_key_that_is_needed_is_missed(model: Model, without: Without, name: str) -> None:
    file = model(name)
    prefix = f"{file.architecture}."
    for key in file.metadata:
        if not key.startswith(prefix):
            continue
        found = [finding.message for finding in check_keys(without(file, key))]
        word = key.removeprefix(prefix)
        optional = OPTIONAL_KEYS.search(word) or (
            word in ("rope.dimension_count",) and file.architecture in ("llama", "qwen", "phi3")
        )
        optional = optional or (
            word in ("feed_forward_length", "attention.head_count")
            and file.architecture in ("mamba", "qwen2moe")
            and word not in EXPECTED[file.architecture].keys
        )
        optional = optional or (word == "attention.sliding_window" and prefix != "gptneo.")
        optional = optional or (word == "use_parallel_residual" and prefix == "stablelm.")
        optional = optional or (prefix == "llama." and word.startswith("expert_"))
        if optional:
            assert found == [], key
        else:
            assert found == [f"{key} is missing; {file.architecture} models need it"]


def test_optional_tensors_stand_in_all_blocks_or_none(model: Model, without: Without) -> None:
    file = model("falcon-new")
    one = without(file, "blk.1.attn_norm_2.weight", "blk.1.attn_norm_2.bias")
    assert "blk.1.attn_norm_2.weight is missing; other blocks have one" in problems(one)
    both = [f"blk.{i}.attn_norm_2.{end}" for i in (0, 1) for end in ("weight", "bias")]
    assert problems(without(file, *both)) == []


def test_blocks_are_named_together(model: Model, without: Without) -> None:
    file = model("gemma3")
    gone = [f"blk.{i}.ffn_up.weight" for i in (0, 1, 2, 5)]
    assert problems(without(file, *gone)) == ["blk.{0-2,5}.ffn_up.weight is missing"]
    block = [name for name in file.tensors if name.startswith("blk.6.")]
    assert problems(without(file, *block)) == ["block_count is 7, but blk.6 has no tensor"]


def test_choices_name_what_the_nearest_option_lacks(model: Model, without: Without) -> None:
    file = model("llama-k256")
    assert problems(without(file, "blk.0.attn_k.weight")) == ["blk.0.attn_k.weight is missing"]
    gone = [f"blk.0.attn_{part}.weight" for part in "qkv"]
    assert problems(without(file, *gone)) == [
        "blk.0.attn_qkv.weight (or attn_q.weight + attn_k.weight + attn_v.weight) is missing"
    ]


def test_what_does_not_belong_is_noted(build: Any, llama: Any) -> None:
    keys, tensors = llama
    tensors["blk.1.extra.weight"] = np.ones(3, np.float32)
    tensors["surplus"] = np.ones(3, np.float32)
    tensors["blk.7.attn_q.weight"] = np.ones(3, np.float32)
    tensors["blk.1.attn_q.scale"] = np.ones(1, np.float32)
    found = [*check_tensors(open_gguf(build(keys, tensors)))]
    assert [(finding.severity, finding.message) for finding in found] == [
        ("note", "surplus is not part of the architecture"),
        ("note", "blk.7.* is not part of the architecture"),
        ("note", "blk.1.extra.weight is not part of the architecture"),
    ]


def test_experts_one_tensor_each(build: Any, llama: Any) -> None:
    """Mixtral files of 2023."""
    keys, tensors = llama
    keys |= {"llama.expert_count": 2, "llama.expert_used_count": 1}
    for block in range(2):
        tensors[f"blk.{block}.ffn_gate_inp.weight"] = np.ones((2, 32), np.float32)
        for name in ("ffn_gate", "ffn_up", "ffn_down"):
            matrix = tensors.pop(f"blk.{block}.{name}.weight")
            for expert in range(2):
                tensors[f"blk.{block}.{name}.{expert}.weight"] = matrix
    assert [*check_tensors(open_gguf(build(keys, tensors)))] == []
    del tensors["blk.1.ffn_up.1.weight"]
    assert problems(open_gguf(build(keys, tensors))) == ["blk.1.ffn_up.1.weight is missing"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("llama.embedding_length", 64, r"token_embd.weight has the shape \[32, 8\], .* \[64, 8\]"),
        ("tokenizer.ggml.tokens", ["a"] * 9, r"token_embd.weight has the shape \[32, 8\].*32, 9"),
        ("llama.attention.head_count_kv", 4, r"blk.0.attn_k.weight has the shape \[32, 16\]"),
        ("llama.feed_forward_length", 65, r"blk.1.ffn_down.weight has .* \[65, 32\]"),
    ],
)
def test_shapes_follow_from_the_keys(
    build: Any, llama: Any, key: str, value: Any, message: str
) -> None:
    keys, tensors = llama
    found = problems(open_gguf(build({**keys, key: value}, tensors)))
    assert any(re.search(message, text) for text in found), found


def test_wrong_shapes_of_single_tensors(build: Any, llama: Any) -> None:
    keys, tensors = llama
    tensors["blk.0.attn_norm.weight"] = np.ones((32, 1), np.float32)
    tensors["blk.1.ffn_norm.weight"] = np.ones(31, np.float32)
    assert problems(open_gguf(build(keys, tensors))) == [
        "blk.0.attn_norm.weight has the shape [1, 32], the metadata asks for [32]",
        "blk.1.ffn_norm.weight has the shape [31], the metadata asks for [32]",
    ]


def test_absurd_counts_cost_nothing(build: Any, llama: Any) -> None:
    keys, tensors = llama
    for key in ("llama.block_count", "llama.expert_count"):
        assert problems(open_gguf(build({**keys, key: 4_000_000_000}, tensors))) or True


def test_unknown_architectures_are_a_note(build: Any) -> None:
    path = build({}, {"a": np.ones(2, np.float32)}, arch="novel")
    (finding,) = check_tensors(open_gguf(path))
    assert finding.severity == "note"
    assert finding.message == "no table for architecture 'novel', tensors not compared"
    assert [*check_keys(open_gguf(path))] == []


def all_items(found: tuple[Rule, ...]) -> Iterator[Item]:
    for rule in found:
        if isinstance(rule, Item):
            yield rule
        else:
            for option in rule.options:
                yield from all_items(option)


@pytest.mark.parametrize("arch", EXPECTED)
def test_required_names_are_those_of_the_gguf_package(arch: str) -> None:
    """Every required tensor, or one option of every choice, is one that converters write."""
    numbers = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    if arch == "gptneo":
        assert arch not in numbers
        return
    names = [arch, "granitemoe"] if arch == "granite" else [arch]  # one loader for both
    known = {gguf.TENSOR_NAMES[kind] for n in names for kind in gguf.MODEL_TENSORS[numbers[n]]}
    known = {name.format(bid=0).removeprefix("blk.0.") for name in known}

    def is_known(rule: Rule) -> bool:
        if isinstance(rule, Choice):
            return any(all(map(is_known, option)) for option in rule.options)
        return not rule.is_required or re.sub(r"\.(weight|bias)$", "", rule.name) in known

    needs = EXPECTED[arch]
    for cell in (needs.whole, needs.block, needs.dense, needs.experts):
        assert [rule for rule in rules(cell) if not is_known(rule)] == []


SYNTHETIC = [arch for arch in EXPECTED if EXPECTED[arch].experts or arch not in MODELS]


@pytest.mark.parametrize("arch", SYNTHETIC)
def test_files_made_from_the_table_are_sound_and_guarded(
    build: Any, without: Without, arch: str
) -> None:
    """For architectures without a model in the kit: a file of the required names alone."""
    needs = EXPECTED[arch]
    keys: dict[str, Any] = {}
    for word in (*COMMON_KEYS.split(), *needs.keys.split()):
        keys[word[1:] if word.startswith(".") else f"{arch}.{word}"] = 2
    if needs.experts:
        keys |= {
            f"{arch}.expert_count": 2,
            f"{arch}.leading_dense_block_count": int(bool(needs.dense)),
        }
    names = list(required(needs.whole))
    for block in range(2):
        dense = not needs.experts or (needs.dense and block == 0)
        cell = f"{needs.block} {needs.dense if dense else needs.experts}"
        names += [f"blk.{block}.{name}" for name in required(cell)]
    file = open_gguf(build(keys, {name: np.ones(1, np.float32) for name in names}, arch=arch))
    assert [m for m in problems(file) if "has the shape" not in m and "is missing" in m] == []
    for name in names:
        missing = [m for m in problems(without(file, name)) if "is missing" in m]
        assert len(missing) == 1, (name, missing)
        assert name.split(".", 2)[-1] in missing[0]


def required(cell: str) -> Iterator[str]:
    """The required names of a cell; of choices the last option."""
    for rule in rules(cell):
        if isinstance(rule, Choice):
            last = rule.options[-1]
            for inner in last:
                if isinstance(inner, Choice):
                    yield from (i.name for i in all_items(inner.options[-1]) if i.is_required)
                elif inner.is_required:
                    for expert in range(2) if "#" in inner.name else range(1):
                        yield inner.name.replace("#", str(expert))
        elif rule.is_required and not rule.needs:
            yield rule.name


def test_the_little_language() -> None:
    assert rules("a b?") == (Item("a.weight", True), Item("b.weight", False))
    assert rules("a:wb c:wb? d?:wb e:b f?:-") == (
        Item("a.weight", True),
        Item("a.bias", True),
        Item("c.weight", True),
        Item("c.bias", False),
        Item("d.weight", False),
        Item("d.bias", True, "d.weight"),
        Item("e.bias", True),
        Item("f", False),
    )
    a, b, c = (Item(f"{name}.weight", True) for name in "abc")
    assert rules("( a b | c )") == (Choice(((a, b), (c,))),)
    assert rules("( ( a | b ) c | b ) c") == (Choice(((Choice(((a,), (b,))), c), (b,))), c)
    for wrong in ("A", "a )", "a:x"):
        with pytest.raises(ValueError, match=r"word of the table|parentheses"):
            rules(wrong)


def test_shapes_are_of_names_in_the_table() -> None:
    names = {
        item.name
        for needs in EXPECTED.values()
        for cell in (needs.whole, needs.block, needs.dense, needs.experts)
        for item in all_items(rules(cell))
    }
    assert set(SHAPES) <= names


def test_the_kit_is_the_kit(kit: Path) -> None:
    assert sorted(path.name for path in (kit / "models").iterdir() if path.is_dir()) == sorted(
        MODELS
    )
