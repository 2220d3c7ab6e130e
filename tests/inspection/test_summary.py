"""The facts of a file, against the kit's own descriptions and the gguf package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.gguf import GGUFFile, open_gguf
from zigllm_cli.inspection.filetypes import FILE_TYPES
from zigllm_cli.inspection.formats import document
from zigllm_cli.inspection.listing import find_field, find_tensor, metadata_rows, tensor_rows
from zigllm_cli.inspection.summary import summarise
from zigllm_cli.inspection.tokens import vocabulary

Model = Callable[[str], GGUFFile]


def test_every_file_of_the_kit(kit: Path) -> None:
    paths = sorted([*kit.glob("models/*/*.gguf"), *kit.glob("real/*.gguf")])
    assert len(paths) > 55
    for path in paths:
        file = open_gguf(path)
        if any(share.type == "Q2_0" for share in summarise(file).mix):
            continue  # newer than the package
        reader = gguf.GGUFReader(path)
        summary = summarise(file, 100)
        assert summary.file_bytes == path.stat().st_size
        assert summary.tensors == len(reader.tensors)
        assert summary.parameters == sum(int(t.n_elements) for t in reader.tensors)
        assert summary.memory.weights == sum(int(t.n_bytes) for t in reader.tensors)
        mix = Counter(t.tensor_type.name for t in reader.tensors)
        assert {share.type: share.tensors for share in summary.mix} == mix
        assert sum(share.fraction for share in summary.mix) == pytest.approx(1 if mix else 0)
        assert document("summary", summary)["schema"] == "zigllm.inspect/1"


def test_tensor_list_is_the_gguf_packages(kit: Path) -> None:
    path = kit / "models" / "llama-k256" / "model-IQ3_S.gguf"
    expected = [
        (t.name, tuple(t.shape.tolist()), t.tensor_type.name, int(t.n_bytes), int(t.data_offset))
        for t in gguf.GGUFReader(path).tensors
    ]
    rows = tensor_rows(open_gguf(path))
    assert [(r.name, r.shape, r.type, r.bytes, r.offset) for r in rows] == expected
    assert [r.name for r in tensor_rows(open_gguf(path), "*attn_[qk].*")] == [
        name for name, *_ in expected if "attn_q." in name or "attn_k." in name
    ]


def test_metadata_list(model: Model) -> None:
    rows = {row.key: row for row in metadata_rows(model("llama-k256"))}
    assert rows["llama.block_count"].type == "u32"
    tokens = rows["tokenizer.ggml.tokens"]
    assert (tokens.type, tokens.count, len(tokens.value)) == ("arr:str", 384, 8)
    assert [row.key for row in metadata_rows(model("llama-k256"), "*.attention.*_length")] == [
        "llama.attention.key_length",
        "llama.attention.value_length",
    ]


def test_unknown_names_are_met_with_near_ones(model: Model) -> None:
    with pytest.raises(Exception, match=r"has no key 'context_length'; did you mean 'llama.con"):
        find_field(model("llama-k256"), "context_length")
    with pytest.raises(Exception, match=r"no tensor 'blk.0.attn_w.weight'; did you mean 'blk"):
        find_tensor(model("llama-k256"), "blk.0.attn_w.weight")
    with pytest.raises(Exception, match=r"no tensor 'qqqq'; --tensors lists all tensors"):
        find_tensor(model("llama-k256"), "qqqq")


def test_special_tokens_by_key_text_and_default(model: Model, build: Any) -> None:
    facts = summarise(model("llama-k256")).tokenizer
    assert facts is not None
    assert [(t.name, t.id, t.text, t.source) for t in facts.special] == [
        ("bos", 1, "<s>", "key"),
        ("eos", 2, "</s>", "key"),
        ("unk", 0, "<unk>", "default"),
    ]
    path = build(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": ["a", "<|im_end|>", "<|fim_prefix|>", "é"],
            "tokenizer.ggml.bos_token_id": 3,
            "tokenizer.ggml.eos_token_id": 77,
        }
    )
    facts = summarise(open_gguf(path)).tokenizer
    assert facts is not None
    assert [(t.name, t.id, t.text, t.source) for t in facts.special] == [
        ("bos", 3, "é", "key"),
        ("eos", 77, None, "key"),
        ("eot", 1, "<|im_end|>", "text"),
        ("fim_pre", 2, "<|fim_prefix|>", "text"),
    ]


def test_special_tokens_are_those_of_the_vocabulary(kit: Path) -> None:
    """The quick look agrees with what the tokenizer itself will use."""
    from zigllm_cli.tokenizers.vocabulary import Vocabulary

    for path in sorted(kit.glob("vocab/*.gguf")):
        file = open_gguf(path)
        facts = summarise(file).tokenizer
        assert facts is not None
        assert {t.name: t.id for t in facts.special} == Vocabulary(file.metadata).special, path


def test_experts(model: Model) -> None:
    file = model("qwen2moe")
    summary = summarise(file)
    routed = sum(t.n_elements for n, t in file.tensors.items() if "_exps" in n)
    assert summary.active_parameters == summary.parameters - routed * 4 // 6
    assert (summary.shape.expert_count, summary.shape.expert_used_count) == (6, 2)
    assert summarise(model("qwen2")).active_parameters == summarise(model("qwen2")).parameters


@pytest.mark.parametrize(
    ("number", "expected"), [(15, "Q8_0"), (7, "Q8_0"), (1, "F16"), (None, "Q8_0"), (999, "Q8_0")]
)
def test_name_of_the_mix(build: Any, number: int | None, expected: str) -> None:
    keys = {} if number is None else {"general.file_type": number}
    tensors: dict[str, Any] = {"a.weight": (np.zeros((4, 34), np.uint8), "Q8_0")}
    found = summarise(open_gguf(build(keys, tensors))).file_type
    assert found == ("Q8_0" if expected == "F16" else expected)
    tensors["n"] = np.ones(4, np.float16)
    found = summarise(open_gguf(build(keys, tensors))).file_type
    if number == 1:
        assert found == "F16"
    else:
        assert found == ("Q8_0" if number == 7 else "mostly Q8_0")


def test_file_types_are_those_of_the_gguf_package() -> None:
    known = {kind.value: kind.name.partition("_")[2] for kind in gguf.LlamaFileType}
    for number, (name, main) in FILE_TYPES.items():
        assert main == "Q2_0" or main in gguf.GGMLQuantizationType.__members__
        assert known.get(number, name) == name  # Q2_0 is newer than the package


def test_vocabulary_lines(build: Any) -> None:
    keys = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [b"a", b"\xff"],
        "tokenizer.ggml.token_type": [1, 9],
        "tokenizer.ggml.scores": [-1.0],
    }
    rows = list(vocabulary(open_gguf(build(keys))))
    assert [(t.id, t.type, t.score) for t in rows] == [(0, "normal", -1.0), (1, "9", None)]
    assert rows[1].json() == {"id": 1, "type": "9", "score": None, "text": "\ufffd", "hex": "ff"}
    assert "hex" not in rows[0].json()


def test_nonsense_is_survived(build: Any) -> None:
    keys = {
        "llama.block_count": "many",
        "llama.context_length": -1.5,
        "llama.attention.head_count": [1, 2],
        "llama.embedding_length": True,
        "general.name": 7,
        "general.file_type": "x",
        "tokenizer.ggml.model": 3,
        "tokenizer.ggml.tokens": 5,
        "tokenizer.chat_template": 1,
    }
    summary = summarise(open_gguf(build(keys)))
    assert summary.name == "tiny"
    assert summary.tokenizer is None
    assert summary.shape.context_length is None
