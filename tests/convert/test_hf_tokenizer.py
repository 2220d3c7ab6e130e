"""Tokenizer files of every form, and what of them reaches the file."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from conversions import converted, keys, llama_folder

import zigllm_cli
from zigllm_cli.convert.hf.tokenizer.sentencepiece import SentencePiece
from zigllm_cli.convert.source import read_source
from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.tokenizers.vocabulary import TokenType

NAMES = ["<unk>", "<s>", "</s>", *"abcdefghijklmnop", "ab", "abc", "▁", "▁a"]


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), "utf-8")


def bpe(vocab: dict[str, int], merges: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "use_regex": True},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
        **more,
    }


def metadata(folder: Path, target: Path, **options: Any) -> dict[str, Any]:
    converted(folder, target, **options)
    return {key: value for key, (_, value) in keys(open_gguf(target)).items()}


def encoded(path: Path, text: str) -> list[int]:
    tokenizer = zigllm_cli.load(path).tokenizer
    return tokenizer.encode(text, add_special=True, parse_special=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return llama_folder(tmp_path / "hf")


def test_no_tokenizer_is_said(folder: Path, tmp_path: Path) -> None:
    conversion = read_source(folder)
    assert "no tokenizer" in conversion.notes[0]
    found = metadata(folder, tmp_path / "out.gguf")
    assert found["tokenizer.ggml.model"] == "none"
    assert found["llama.vocab_size"] == 40


def test_merges_as_texts_and_as_pairs(folder: Path, tmp_path: Path) -> None:
    vocab = {text: i for i, text in enumerate(NAMES)}
    for merges in (["a b", "ab c"], [["a", "b"], ["ab", "c"]]):
        write_json(folder / "tokenizer.json", bpe(vocab, merges))
        found = metadata(folder, tmp_path / "out.gguf")
        assert found["tokenizer.ggml.merges"] == ("STRING", ["a b", "ab c"])
        assert found["tokenizer.ggml.pre"] == "gpt-2"
        tokens, types = (found[f"tokenizer.ggml.{x}"][1] for x in ("tokens", "token_type"))
        assert tokens[: len(NAMES)] == NAMES
        assert tokens[-1] == "[PAD39]"
        assert types[-1] == TokenType.UNUSED


def test_vocab_and_merges_files_are_the_same(folder: Path, tmp_path: Path) -> None:
    vocab = {text: i for i, text in enumerate(NAMES)}
    write_json(folder / "vocab.json", vocab)
    (folder / "merges.txt").write_text("#version: 0.2\na b\nab c\n\n")
    older = metadata(folder, tmp_path / "older.gguf")
    write_json(folder / "tokenizer.json", bpe(vocab, ["a b", "ab c"]))
    assert metadata(folder, tmp_path / "newer.gguf") == older


def test_added_tokens_and_their_kinds(folder: Path, tmp_path: Path) -> None:
    vocab = {text: i for i, text in enumerate(NAMES)}
    added = [
        {"id": 30, "content": "<|im_end|>", "special": False},
        {"id": 31, "content": "<think>", "special": False},
        {"id": 32, "content": "▁▁x", "special": False},
        {"id": 33, "content": "<tool>", "special": True},
    ]
    write_json(folder / "tokenizer.json", bpe(vocab, [], added_tokens=added))
    write_json(folder / "tokenizer_config.json", {"eos_token": {"content": "<|im_end|>"}})
    found = metadata(folder, tmp_path / "out.gguf")
    tokens, types = (found[f"tokenizer.ggml.{x}"][1] for x in ("tokens", "token_type"))
    assert tokens[30:34] == ["<|im_end|>", "<think>", "  x", "<tool>"]
    control, own = TokenType.CONTROL, TokenType.USER_DEFINED
    assert types[30:34] == [control, own, own, control]
    assert found["tokenizer.ggml.eos_token_id"] == 30


@pytest.mark.parametrize(
    ("processor", "flags"),
    [
        ({"type": "ByteLevel"}, {"bos": False, "eos": False}),
        ({"type": "RobertaProcessing"}, {"bos": True, "eos": True, "sep": True}),
        (
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
            },
            {"bos": True},
        ),
        (
            {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
            },
            {"eos": True},
        ),
        (
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                "pair": [
                    {"SpecialToken": {"id": "<s>"}},
                    {"Sequence": {"id": "A"}},
                    {"SpecialToken": {"id": "<s>"}},
                    {"Sequence": {"id": "B"}},
                ],
            },
            {"bos": True, "sep": False},
        ),
    ],
)
def test_what_is_put_around_a_text(
    folder: Path, tmp_path: Path, processor: dict[str, Any], flags: dict[str, bool]
) -> None:
    vocab = {text: i for i, text in enumerate(NAMES)}
    added = [{"id": i, "content": NAMES[i], "special": True} for i in range(3)]
    write_json(
        folder / "tokenizer.json", bpe(vocab, [], added_tokens=added, post_processor=processor)
    )
    write_json(folder / "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>"})
    found = metadata(folder, tmp_path / "out.gguf")
    start = "tokenizer.ggml.add_"
    assert {
        key[len(start) : -len("_token")]: value
        for key, value in found.items()
        if key.startswith(start)
    } == flags


def test_several_ends_of_a_text(folder: Path, tmp_path: Path) -> None:
    """Llama 3 ends texts and turns with tokens of their own; config.json lists them."""
    write_json(folder / "tokenizer.json", bpe({text: i for i, text in enumerate(NAMES)}, []))
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"eos_token_id": [5, 6]})
    write_json(folder / "generation_config.json", {"eos_token_id": [5, 6], "temperature": 0.6})
    found = metadata(folder, tmp_path / "out.gguf")
    assert found["tokenizer.ggml.eos_token_id"] == 5
    assert found["tokenizer.ggml.eot_token_id"] == 6
    assert found["general.sampling.temp"] == pytest.approx(0.6)


def test_chat_templates(folder: Path, tmp_path: Path) -> None:
    write_json(folder / "tokenizer.json", bpe({text: i for i, text in enumerate(NAMES)}, []))
    several = [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]
    write_json(folder / "tokenizer_config.json", {"chat_template": several})
    found = metadata(folder, tmp_path / "out.gguf")
    assert found["tokenizer.chat_template"] == "A"
    assert found["tokenizer.chat_template.tool_use"] == "B"
    assert found["tokenizer.chat_templates"] == ("STRING", ["tool_use"])
    (folder / "chat_template.jinja").write_text("own file")
    assert metadata(folder, tmp_path / "out.gguf")["tokenizer.chat_template"] == "own file"


def test_model_cards(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text(
        "---\nlicense: apache-2.0\nlanguage: [en, de]\ntags:\n- chat\nbase_model: org/base\n"
        "datasets:\n- org/data\n---\n# Model\n"
    )
    found = metadata(folder, tmp_path / "out.gguf")
    assert found["general.license"] == "apache-2.0"
    assert found["general.languages"] == ("STRING", ["en", "de"])
    assert found["general.tags"] == ("STRING", ["chat"])
    assert found["general.base_model.0.repo_url"] == "https://huggingface.co/org/base"
    assert found["general.dataset.0.name"] == "data"
    (folder / "README.md").write_text("---\n!!python/object/apply:os.system [ls]\n---\n")
    assert "general.license" not in metadata(folder, tmp_path / "out.gguf")


def test_word_pieces_from_a_list(kit: Path, tmp_path: Path) -> None:
    """`vocab.txt` alone gives what `tokenizer.json` gives."""
    source = kit / "models/bert-mean/hf"
    converted(source, tmp_path / "json.gguf")
    folder = tmp_path / "hf"
    shutil.copytree(source, folder)
    (folder / "tokenizer.json").unlink()
    converted(folder, tmp_path / "list.gguf")
    names = ("tokens", "token_type", "bos_token_id", "eos_token_id", "unknown_token_id")
    one, other = (keys(open_gguf(tmp_path / f"{x}.gguf")) for x in ("json", "list"))
    for name in names[:2]:
        assert one[f"tokenizer.ggml.{name}"] == other[f"tokenizer.ggml.{name}"]
    text = "First Citizen: proceed!"
    ids = [encoded(tmp_path / f"{x}.gguf", text) for x in ("json", "list")]
    assert ids[0] == ids[1]


def test_spaced_bpe_is_the_model_that_it_was_made_from(kit: Path, tmp_path: Path) -> None:
    """A tokenizer.json that was made of a SentencePiece model cuts as that one does."""
    source = kit / "models/llama-gqa-spm/hf"
    converted(source, tmp_path / "model.gguf")
    piece = SentencePiece.read(source / "tokenizer.model")
    ids = {text: i for i, text in enumerate(piece.texts)}
    ranked = sorted(
        (i for i, kind in enumerate(piece.types) if kind == TokenType.NORMAL),
        key=lambda i: -piece.scores[i],
    )
    merges = [
        [piece.texts[i][:cut], piece.texts[i][cut:]]
        for i in ranked
        for cut in range(1, len(piece.texts[i]))
        if {piece.texts[i][:cut], piece.texts[i][cut:]} <= ids.keys()
    ]
    folder = tmp_path / "hf"
    shutil.copytree(source, folder)
    (folder / "tokenizer.model").unlink()
    specials = [{"id": i, "content": piece.texts[i], "special": True} for i in range(3)]
    write_json(
        folder / "tokenizer.json",
        {
            "added_tokens": specials,
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                ],
            },
            "pre_tokenizer": None,
            "model": {
                "type": "BPE",
                "vocab": ids,
                "merges": merges,
                "byte_fallback": True,
                "unk_token": "<unk>",
            },
        },
    )
    converted(folder, tmp_path / "json.gguf")
    text = "Before we proceed any further, hear me speak.\n\n¶ All:  Speak, speak. ©"
    ids_of = [encoded(tmp_path / f"{x}.gguf", text) for x in ("model", "json")]
    assert ids_of[0] == ids_of[1]


def test_unigram(folder: Path, tmp_path: Path) -> None:
    rows = [["<unk>", 0.0], ["▁", -2.0], ["a", -3.0], ["ab", -1.5]]
    write_json(
        folder / "tokenizer.json",
        {"added_tokens": [], "model": {"type": "Unigram", "unk_id": 0, "vocab": rows}},
    )
    found = metadata(folder, tmp_path / "out.gguf")
    assert found["tokenizer.ggml.model"] == "t5"
    assert found["tokenizer.ggml.scores"][1][:4] == [0.0, -2.0, -3.0, -1.5]
    assert found["tokenizer.ggml.token_type"][1][:2] == [TokenType.UNKNOWN, TokenType.NORMAL]


@pytest.mark.parametrize(
    ("tokenizer", "error", "says"),
    [
        (bpe({"a": -1}, []), InputError, "vocabulary is damaged"),
        (bpe({"a": 2**40}, []), InputError, "has an id"),
        (bpe({"a": "b"}, []), InputError, "vocabulary is damaged"),
        (bpe({"a": 0}, [["a"]]), InputError, "not a merge"),
        (bpe({"a": 0}, [], added_tokens=[{"id": "x"}]), InputError, "added tokens"),
        ({"model": {"type": "Odd"}}, UnsupportedError, "type 'Odd'"),
    ],
)
def test_damaged_tokenizers(
    folder: Path, tokenizer: dict[str, Any], error: type[Exception], says: str
) -> None:
    write_json(folder / "tokenizer.json", tokenizer)
    with pytest.raises(error, match=says):
        read_source(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x0a",
        b"\x0a\xff",
        b"\x0b\x00",
        b"\x0a\x02\x0a\x05",
        b"\xff" * 20,
        b"\x0a\x03\x0a\x01\xff",
        b"\x0a\x07\x0a\x01a\x18\xff\xff\x01",
    ],
)
def test_damaged_sentence_pieces(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(InputError, match="no sound SentencePiece model"):
        SentencePiece.read(tmp_path / "tokenizer.model")


def test_sentence_pieces(tmp_path: Path) -> None:
    def field(number: int, body: bytes) -> bytes:
        return bytes([number << 3 | 2, len(body)]) + body

    pieces = [("<unk>", 2), ("▁é", 1), ("<0x41>", 6)]
    data = b"".join(
        field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", -i) + bytes([0x18, kind]))
        for i, (text, kind) in enumerate(pieces)
    )
    data += field(2, b"\x18\x02") + field(3, b"\x18\x00" + field(2, b"map"))
    (tmp_path / "m").write_bytes(data)
    found = SentencePiece.read(tmp_path / "m")
    assert (found.texts, found.types) == (["<unk>", "▁é", "<0x41>"], [2, 1, 6])
    assert found.scores == [0.0, -1.0, -2.0]
    assert (found.model_type, found.add_dummy_prefix, found.charsmap) == (2, False, b"map")
