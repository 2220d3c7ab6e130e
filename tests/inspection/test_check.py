"""`check`: silence about sound files, a finding for each thing that is broken."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import TENSOR_TYPES, TensorType, ValueType, open_gguf
from zigllm_cli.gguf.entry import Entry
from zigllm_cli.gguf.writer import TensorPlan, write_gguf
from zigllm_cli.inspection.check import check, unreadable
from zigllm_cli.inspection.check_values import HALF_SCALES, count_tensor


def findings(path: Path, severity: str) -> list[str]:
    report = check(open_gguf(path))
    assert report.problems + report.notes == len(report.findings)
    return [finding.message for finding in report.findings if finding.severity == severity]


def problems(path: Path) -> list[str]:
    return findings(path, "problem")


def test_no_file_of_the_kit_has_a_problem(kit: Path) -> None:
    paths = sorted([*kit.glob("models/*/*.gguf"), *kit.glob("real/*.gguf")])
    assert len(paths) > 55
    for path in paths:
        report = check(open_gguf(path))
        assert report.problems == 0, (path, report.findings)
        assert report.notes == (2 if path.name == "imatrix.gguf" else 0), (path, report.findings)


def test_vocabularies_of_the_kit_have_no_problem(kit: Path) -> None:
    for path in sorted(kit.glob("vocab/*.gguf")):
        report = check(open_gguf(path))
        assert [finding.message for finding in report.findings] == [
            "the file has no tensors, only metadata and vocabulary"
        ], path


def test_a_sound_file(build: Any, llama: Any) -> None:
    report = check(open_gguf(build(*llama)))
    assert report.findings == ()
    assert (report.problems, report.notes, report.tensors) == (0, 0, 21)


REMOVED = object()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("general.name", "x", None),
        ("llama.block_count", REMOVED, r"llama.block_count is missing; llama models need it"),
        ("llama.block_count", 0, r"llama.block_count is 0$"),
        ("llama.context_length", "long", r"llama.context_length is 'long', not a number"),
        ("llama.attention.head_count_kv", 3, r"is 3, which does not divide 4 heads"),
        ("llama.attention.head_count", 5, r"is 5, which does not divide the width 32"),
        ("llama.rope.freq_base", float("nan"), r"llama.rope.freq_base holds 1 value\(s\) that are"),
        ("llama.expert_count", 8, r"llama.expert_used_count is 0 of 8 experts"),
        ("llama.vocab_size", 9, r"llama.vocab_size is 9, but there are 8 tokens"),
        ("tokenizer.ggml.model", "unheard", r"tokenizer model 'unheard' is unknown"),
        ("tokenizer.ggml.model", 5, r"tokenizer.ggml.model is not a text"),
        ("tokenizer.ggml.pre", "unheard", r"names the pre-tokenizer 'unheard'"),
        ("tokenizer.ggml.pre", REMOVED, r"tokenizer.ggml.pre is missing"),
        ("tokenizer.ggml.merges", REMOVED, r"tokenizer.ggml.merges is missing; gpt2"),
        ("tokenizer.ggml.merges", ["ab", "b c"], r"1 of 2 merges do not have two parts"),
        ("tokenizer.ggml.tokens", REMOVED, r"tokenizer.ggml.tokens is missing, empty or not"),
        ("tokenizer.ggml.tokens", [1, 2], r"tokenizer.ggml.tokens is missing, empty or not"),
        (
            "tokenizer.ggml.tokens",
            ["<s>", "</s>", "a", "b", "c", "ab", "bc", "a"],
            r"1 token text\(s\) occur more than once: 'a'",
        ),
        ("tokenizer.ggml.token_type", [1], r"token_type has 1 values for 8 tokens"),
        ("tokenizer.ggml.token_type", [1] * 7 + [8], r"token_type holds 8, which is no token type"),
        ("tokenizer.ggml.token_type", ["a"] * 8, r"token_type is not a list of numbers"),
        ("tokenizer.ggml.scores", [0.5] * 9, r"scores has 9 values for 8 tokens"),
        ("tokenizer.ggml.bos_token_id", 8, r"the bos token is 8, outside the vocabulary of 8"),
        ("tokenizer.ggml.padding_token_id", ("INT32", -1), r"the pad token is -1, outside"),
    ],
)
def test_broken_metadata(build: Any, llama: Any, key: str, value: Any, message: str | None) -> None:
    keys, tensors = llama
    if value is REMOVED:
        del keys[key]
    else:
        keys[key] = value
    found = problems(build(keys, tensors))
    if message is None:
        assert found == []
    else:
        assert any(re.search(message, text) for text in found), found


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "general.file_type",
            15,
            "general.file_type says Q4_K_M, but no tensor is Q4_K (mostly F32",
        ),
        ("general.file_type", 555, "general.file_type is 555, which is no known type"),
        ("tokenizer.ggml.eos_token_id", REMOVED, "the file names no eos token, so its kind's"),
        ("tokenizer.ggml.merges", ["a b", "a c"], "1 of 2 merges make texts that are no tokens"),
        ("tokenizer.ggml.model", REMOVED, "the file has no tokenizer"),
    ],
)
def test_unusual_metadata_is_noted(
    build: Any, llama: Any, key: str, value: Any, message: str
) -> None:
    keys, tensors = llama
    if value is REMOVED:
        del keys[key]
    else:
        keys[key] = value
    path = build(keys, tensors)
    assert problems(path) == []
    assert any(message in text for text in findings(path, "note")), findings(path, "note")


def test_sentencepiece_needs_scores(build: Any, llama: Any) -> None:
    keys, tensors = llama
    keys["tokenizer.ggml.model"] = "llama"
    path = build(keys, tensors)
    assert "tokenizer.ggml.scores is missing; merges need it" in problems(path)
    notes = findings(path, "note")
    assert "256 of 256 byte tokens are missing; some text has no tokens" in notes


def test_bos_that_is_to_be_added_must_exist(build: Any) -> None:
    keys = {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": ["a"],
        "tokenizer.ggml.add_bos_token": True,
    }
    assert "tokenizer.ggml.add_bos_token is true, but the file names no bos token" in problems(
        build(keys, arch="rwkv7")
    )


def test_nothing_is_logged(build: Any, llama: Any, caplog: pytest.LogCaptureFixture) -> None:
    keys, tensors = llama
    keys["tokenizer.ggml.bos_token_id"] = 99
    with caplog.at_level(logging.ERROR):
        problems(build(keys, tensors))
    assert caplog.records == []


def test_architecture_is_a_must(build: Any, without: Any, llama: Any) -> None:
    file = without(open_gguf(build(*llama)), "general.architecture")
    messages = [finding.message for finding in check(file).findings]
    assert messages[0] == "general.architecture is missing"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("big_endian", [False, True])
def test_plain_values_that_are_not_finite(build: Any, dtype: Any, big_endian: bool) -> None:
    data = np.ones((4, 4), dtype)
    data[0, 0], data[1, 1], data[2, 2] = np.nan, np.inf, -np.inf
    path = build({}, {"x.weight": data}, arch="novel", big_endian=big_endian)
    assert problems(path) == ["x.weight has 1 NaN and 2 infinite values of 16"]


def test_bf16_values_that_are_not_finite(build: Any) -> None:
    data = np.array([[0x7FC0, 0x7F80, 0x3F80, 0xFF80]], np.uint16).view(np.int16)
    path = build({}, {"x.weight": (data, "BF16")}, arch="novel")
    assert problems(path) == ["x.weight has 1 NaN and 2 infinite values of 4"]


BLOCK_TYPES = [kind for kind in TENSOR_TYPES if kind.is_quantized]
POSITIONS = {name: list(offsets) for name, offsets in HALF_SCALES.items()} | {"Q8_K": [0]}


def write_blocks(path: Path, kind: TensorType, blocks: np.ndarray) -> Path:
    """A file with the one tensor x.weight of 3 rows; the gguf package lacks some of the types."""
    entry = Entry.make("general.architecture", ValueType.STRING, "novel")
    shape = (blocks.shape[1] // kind.block_bytes * kind.block_size, 3)
    write_gguf(path, [entry], [TensorPlan("x.weight", shape, kind, lambda: [blocks.tobytes()])])
    return path


@pytest.mark.parametrize("kind", BLOCK_TYPES, ids=str)
def test_broken_scales(tmp_path: Path, kind: TensorType) -> None:
    """Every half-precision scale of every type, broken alone, in one block of six."""
    path = tmp_path / "a.gguf"
    good = np.zeros((3, 2 * kind.block_bytes), np.uint8)
    assert problems(write_blocks(path, kind, good)) == []
    for offset in POSITIONS.get(kind.name, []):
        bad = good.copy()
        pattern = (0x7F800000).to_bytes(4, "little") if kind.name == "Q8_K" else b"\x00\x7c"
        bad[1, kind.block_bytes + offset :][: len(pattern)] = list(pattern)
        assert problems(write_blocks(path, kind, bad)) == [
            "x.weight has 0 NaN and 1 infinite scales, in 1 of 6 blocks"
        ]


@pytest.mark.parametrize(
    ("name", "offset", "data"),
    [
        ("MXFP4", 0, b"\xff"),
        ("NVFP4", 2, b"\x7f"),
        ("IQ1_M", 48, b"\x00\x10\x00\xe0\x00\xf0\x00\x70"),
    ],
)
def test_broken_scales_of_other_shapes(build: Any, name: str, offset: int, data: bytes) -> None:
    kind = next(kind for kind in TENSOR_TYPES if kind.name == name)
    bad = np.zeros((2, kind.block_bytes), np.uint8)
    bad[1, offset : offset + len(data)] = list(data)
    path = build({}, {"x.weight": (bad, name)}, arch="novel")
    assert problems(path) == ["x.weight has 1 NaN and 0 infinite scales, in 1 of 2 blocks"]


def test_scales_stand_where_the_decoder_reads_them(kit: Path) -> None:
    """A broken scale makes exactly its block undecodable, in the gguf package's decoder too."""
    for path in sorted((kit / "models" / "llama-k256").glob("model-*.gguf")):
        for tensor in open_gguf(path).tensors.values():
            kind = tensor.type
            if kind.name not in HALF_SCALES or kind.name == "Q2_0":
                continue
            for offset in HALF_SCALES[kind.name]:
                rows = tensor.numpy().copy()
                rows[0, offset : offset + 2] = [0x00, 0x7E]
                with np.errstate(all="ignore"):
                    number = gguf.GGMLQuantizationType[kind.name]
                    decoded = gguf.quants.dequantize(rows[:1], number)[0]
                assert not np.isfinite(decoded[: kind.block_size]).any(), (kind, offset)
                assert np.isfinite(decoded[kind.block_size :]).all()
            break


def test_zeros_are_noted_for_matrices_only(build: Any) -> None:
    tensors = {
        "x.weight": np.zeros((2, 2), np.float32),
        "x.bias": np.zeros(2, np.float32),
        "n.weight": np.zeros(2, np.float32),
        "q.weight": (np.zeros((2, 34), np.uint8), "Q8_0"),
    }
    notes = findings(build({}, tensors, arch="novel"), "note")
    assert [text for text in notes if "zeros" in text] == [
        "x.weight holds only zeros",
        "q.weight holds only zeros",
    ]


def test_bytes_that_belong_to_nothing(build: Any, llama: Any, tmp_path: Path) -> None:
    path = build(*llama)
    assert findings(path, "note") == []
    data = bytearray(path.read_bytes())
    longer = tmp_path / "longer.gguf"
    longer.write_bytes(data + b"x" * 50)
    assert findings(longer, "note") == ["50 bytes behind the last tensor belong to nothing"]
    header = open_gguf(path).headers[0]
    assert header.infos_stop < header.data_start
    data[header.data_start - 1] = 7
    dirty = tmp_path / "dirty.gguf"
    dirty.write_bytes(data)
    assert findings(dirty, "note") == ["the padding in 1 place(s) is not zero"]


def test_unreadable_files_have_one_problem() -> None:
    report = unreadable("a.gguf", InputError("a.gguf: it is broken"))
    assert (report.problems, report.notes) == (1, 0)
    assert report.findings[0].message == "it is broken"
    assert report.findings[0].area == "file"


def test_progress_adds_up(kit: Path) -> None:
    for name in ("model-f32.gguf", "model-Q4_K_M.gguf"):
        file = open_gguf(kit / "models" / "llama-k256" / name)
        steps: list[int] = []
        report = check(file, steps.append)
        assert sum(steps) == report.bytes == sum(t.nbytes for t in file.tensors.values())


def test_large_tensors_are_read_in_pieces(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zigllm_cli.inspection.check_values.CHUNK_BYTES", 100)
    data = np.ones((40, 8), np.float32)
    data[39, 7] = np.nan
    counts = count_tensor(open_gguf(build({}, {"x": data}, arch="n")).tensors["x"])
    assert counts is not None
    assert (counts.nan, counts.bad) == (1, 1)
