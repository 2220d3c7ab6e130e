"""Vocabularies from texts: nothing lost, nothing left to chance, and the same ids elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zigllm_cli.errors import UsageError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.gguf.entry import Entry
from zigllm_cli.gguf.types import ValueType
from zigllm_cli.gguf.writer import write_gguf
from zigllm_cli.tokenizers import TokenType, from_metadata
from zigllm_cli.train.pairs import learn_merges
from zigllm_cli.train.vocabulary import BYTES, END, Vocabulary, train_bpe, train_characters

CHAT = ("<|im_start|>", "<|im_end|>")
STORY = (
    "Once there was a fox who lived by a river, and the river's name was 12345.\n\n"
    "«Où est l'été ?» asked the fox's brother. Nobody knew: 𝛼 ≠ β, 🦊🦊🦊 …  \t they'd say.\r\n"
) * 3 + "the the the then there these theme"


def many_characters() -> str:
    """2,000 different characters, of one to four bytes, and no line of them twice."""
    chosen = [*range(0x20, 0x7F), *range(0x3B1, 0x3CA), *range(0x4E00, 0x4E00 + 1780)]
    chosen += range(0x1F600, 0x1F600 + 2000 - len(chosen))
    random = Random(4)
    return "".join(map(chr, random.sample(chosen, len(chosen)) + random.choices(chosen, k=3000)))


def write(vocabulary: Vocabulary, path: Path) -> Path:
    head = [Entry.make("general.architecture", ValueType.STRING, "llama")]
    write_gguf(path, [*head, *vocabulary.entries()], [])
    return path


@given(st.text())
def test_characters_come_back(text: str) -> None:
    vocabulary = train_characters(text)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert len(ids) == len(text)
    assert ids == [sorted(set(text)).index(character) for character in text]


@settings(deadline=None)
@given(st.text(), st.integers(257, 300))
def test_pairs_of_bytes_come_back(text: str, size: int) -> None:
    vocabulary = train_bpe(text * 2, size)
    assert vocabulary.size <= size
    assert vocabulary.decode(vocabulary.encode(text)) == text
    other = text[::-1] + "x\u00e9\0"
    assert vocabulary.decode(vocabulary.encode(other)) == other


def test_ascii_characters_and_the_end_are_all() -> None:
    vocabulary = train_characters("hello\nworld")
    assert vocabulary.size == 9
    assert vocabulary.metadata()["tokenizer.ggml.tokens"] == [*"Ċdehlorw", END]
    assert vocabulary.end == 8
    assert vocabulary.encode(f"low{END}?") == [4, 5, 7, 8]


def test_two_thousand_characters() -> None:
    text = many_characters()
    assert len(set(text)) == 2000
    vocabulary = train_characters(text)
    ids = vocabulary.encode(text)
    assert max(ids) == 1999
    assert vocabulary.decode(ids) == text
    assert set(vocabulary.encode("".join(sorted(set(text))))) == set(range(2000))


def test_special_tokens_are_cut_out_and_kept() -> None:
    text = "<|im_start|>user\nhello<|im_end|>\n" * 9 + END
    for vocabulary in (train_characters(text, CHAT), train_bpe(text, 280, CHAT)):
        tokens = vocabulary.metadata()["tokenizer.ggml.tokens"]
        assert tokens[-3:] == [END, *CHAT]
        assert vocabulary.metadata()["tokenizer.ggml.token_type"][-3:] == [TokenType.CONTROL] * 3
        assert not [token for token in tokens[:-3] if "|" in token and len(token) > 1]
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == text
        assert ids.count(len(tokens) - 2) == 9
        assert ids[-1] == vocabulary.end


def test_the_most_frequent_pair_is_merged() -> None:
    """Against counting everything anew for each merge."""
    for seed in range(30):
        random = Random(seed)
        words = Counter(
            "".join(random.choices("abc", k=random.randint(1, 9)))
            for _ in range(random.randint(1, 40))
        )
        assert list(learn_merges(words, "abc", 25)) == counted_anew(words, "abc", 25)


def counted_anew(words: Counter[str], alphabet: str, limit: int) -> list[tuple[str, str]]:
    age = {character: i for i, character in enumerate(alphabet)}
    split = {word: list(word) for word in words}
    merges = []
    while len(age) < len(alphabet) + limit:
        counts: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(split[word]):
                counts[pair] += count
        ranked = sorted(counts, key=lambda pair: (-counts[pair], age[pair[0]], age[pair[1]]))
        if not ranked or counts[ranked[0]] < 2:
            break
        left, right = ranked[0]
        for symbols in split.values():
            at = 0
            while at + 1 < len(symbols):
                if symbols[at : at + 2] == [left, right]:
                    symbols[at : at + 2] = [left + right]
                at += 1
        age.setdefault(left + right, len(age))
        merges.append((left, right))
    return merges


def test_digits_stay_single() -> None:
    vocabulary = train_bpe("1234 " * 50, 400)
    assert len(vocabulary.encode("1234")) == 4


def test_the_order_of_the_text_does_not_matter() -> None:
    lines = [f"{word} {word}s\n" for word in STORY.split()]
    assert train_bpe("".join(lines), 330) == train_bpe("".join(lines[::-1]), 330)


@pytest.mark.parametrize("special", [("",), ("x",), ("<a>", "<a>")])
def test_special_tokens_that_cannot_be(special: tuple[str, ...]) -> None:
    for train in (train_characters, lambda text, given: train_bpe(text, 300, given)):
        with pytest.raises(UsageError, match="special tokens"):
            train("text", special)


def test_too_small_for_the_bytes() -> None:
    with pytest.raises(UsageError, match="258"):
        train_bpe("text", 100, ("<a>",))
    assert train_bpe("text", 258, ("<a>",)).size == 258


@pytest.mark.parametrize("add_bos", [True, False])
def test_the_file_says_the_same(tmp_path: Path, add_bos: bool) -> None:
    vocabulary = train_bpe(STORY, 400, CHAT, add_bos=add_bos)
    tokenizer = from_metadata(open_gguf(write(vocabulary, tmp_path / "v.gguf")).metadata)
    assert tokenizer.encode(STORY) == [vocabulary.end] * add_bos + vocabulary.encode(STORY)


@pytest.mark.oracle
def test_llama_cpp_agrees(tmp_path: Path, llama_vocab: Callable[[Path], Any]) -> None:
    chat = f"<|im_start|>user\n{STORY}<|im_end|>\n{END}"
    made = {
        "characters": train_characters(STORY),
        "chat": train_characters(chat, CHAT),
        "many": train_characters(many_characters()),
        "bpe": train_bpe(chat, 500, CHAT),
        "bytes": train_bpe("", 257),
    }
    for name, vocabulary in made.items():
        theirs = llama_vocab(write(vocabulary, tmp_path / f"{name}.gguf"))
        assert len(theirs) == vocabulary.size
        random = Random(name)
        texts = [
            STORY,
            chat,
            "".join(random.sample(chat, 100)),
            many_characters(),
            "ünknown ✗ 日本",
        ]
        for text in texts:
            assert vocabulary.encode(text) == theirs.tokenize(text, parse_special=True), (
                name,
                text,
            )
        assert theirs.ends_generation(vocabulary.end)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(5))
def test_the_merges_of_tokenizers(seed: int) -> None:
    """Hugging Face's trainer learns the same merges, ties included."""
    from tokenizers import Tokenizer, models, trainers

    random = Random(seed)
    words = ["".join(random.choices("abcdef", k=random.randint(1, 6))) for _ in range(60)]
    lines = [random.choice(words) for _ in range(2000)]
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 80, min_frequency=2, initial_alphabet=list(BYTES), show_progress=False
    )
    theirs = Tokenizer(models.BPE())
    theirs.train_from_iterator(lines, trainer)
    ours = list(learn_merges(Counter(lines), BYTES, 80))
    merges = json.loads(theirs.to_str())["model"]["merges"]
    assert [tuple(merge) for merge in merges] == ours
