"""Every vocabulary of the kit, asked side by side: llama.cpp's tokenizer and ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import zigllm_cli

pytestmark = pytest.mark.oracle

ALPHABETS = (
    "abcdefghij ABCXYZ  ",
    "the quick brown fox's don't WE'LL i'm  \n\n\t ",
    "0123456789 .,-",
    "!?.,;:()[]{}<>'\"`~@#$%^&*-_=+|\\/ ab",
    "äöüßéèñçøåÄÖÜ naïve",
    "привет МИР ελληνικά Ωμέγα",
    "中文字符日本語ひらがなカタカナ한국어 ",
    "नमस्ते สวัสดี שלום مرحبا",
    "\u0301\u0308e\u0301a\u0308 o\u0302",
    "🦙👍🏽👨‍👩‍👧‍👦🇩🇪 ✨",
    " \u00a0\u2003\u3000\u200b\u2028\r\n\t\x0b\x0c\x85",
    "\x00\x01\x1b\x7f\ufffd\ue000",
    "▁ ▁▁a",
)


def nasty_texts(seed: str, count: int) -> list[str]:
    random = Random(seed)
    texts = ["", " ", "\n", "  a  ", "<s>", "</s>", "<|endoftext|> x", "[CLS] a [SEP]"]
    for _ in range(count):
        chosen = random.sample(ALPHABETS, random.choice((1, 1, 2, 3)))
        alphabet = "".join(chosen)
        texts.append("".join(random.choices(alphabet, k=random.choice((3, 10, 40, 200)))))
    return texts


def files(kit: Path) -> list[Path]:
    models = sorted((kit / "models").glob("*/model-f32.gguf"))
    # llama.cpp does not know these two architectures' files
    models = [path for path in models if path.parent.name not in ("gptj", "gptneo")]
    return [*sorted((kit / "vocab").glob("*.gguf")), *models, kit / "real/stories260K-f32.gguf"]


def test_ids(kit: Path, llama_vocab: Callable[[Path], Any]) -> None:
    for path in files(kit):
        ours, theirs = zigllm_cli.load(path).tokenizer, llama_vocab(path)
        specials = [ours.vocabulary.tokens[i] for i in ours.vocabulary.special_tokens[:40]]
        texts = nasty_texts(path.name, 120)
        texts += ["x ".join(Random(3).choices([*specials, " ", "hello", "\n"], k=12))]
        for text in texts:
            for add_special, parse_special in ((False, False), (True, False), (True, True)):
                options = {"add_special": add_special, "parse_special": parse_special}
                found = ours.encode(text, **options)
                assert found == theirs.tokenize(text, **options), (path, text, options)


def test_pieces_and_ends(kit: Path, llama_vocab: Callable[[Path], Any]) -> None:
    for path in files(kit):
        ours, theirs = zigllm_cli.load(path).tokenizer, llama_vocab(path)
        assert len(ours) == len(theirs)
        ends = ours.vocabulary.end_ids
        step = max(1, len(ours) // 20_000)
        for token in [*range(0, len(ours), step), *ours.vocabulary.special_tokens, *ends]:
            piece = theirs.piece(token, special=True)
            if not piece.startswith(b"[UNK_BYTE_"):  # its way to say: this text spells no bytes
                assert ours.piece(token) == piece, (path, token)
            shown = theirs.piece(token, special=False)
            assert bool(ours.piece(token, render_special=False)) == bool(shown), (path, token)
            assert (token in ends) == theirs.ends_generation(token), (path, token)


HF_NAMES = (
    *("bert-cls", "gpt2", "gptj", "gptneo", "gptneox", "mamba", "mpt", "phi2", "stablelm"),
    *("starcoder", "starcoder2"),
)
"""Models whose Hugging Face definition splits words as their `tokenizer.ggml.pre` says."""


@pytest.mark.parametrize("name", HF_NAMES)
def test_ids_of_hugging_face_tokenizers(kit: Path, name: str) -> None:
    from transformers import PreTrainedTokenizerFast

    folder = kit / "models" / name
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(folder / "hf" / "tokenizer.json"))
    ours = zigllm_cli.load(folder / "model-f32.gguf").tokenizer
    text = (kit / "text" / "tinyshakespeare.txt").read_text("utf-8")[:30_000]
    text += " naïve Ünïcödé 中文 🦙 123456 don't\r\n\t x"
    expected = theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.encode(text, add_special=False) == expected
