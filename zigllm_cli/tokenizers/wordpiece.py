"""WordPiece (`bert`): normalise, split into words, take the longest token again and again.

Schuster and Nakajima 2012; Devlin et al. 2018 (arXiv:1810.04805). GGUF spells a token that starts
a word with U+2581 in front and one inside a word without the "##". As in llama.cpp, [CLS] and
[SEP] are always added, whatever the file's flags say; a word that cannot be spelt with tokens is
one [UNK]. Tokens whose text is not UTF-8 are only found where the text is broken the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from string import punctuation

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers.base import Tokenizer
from zigllm_cli.tokenizers.cache import WordCache, pack_one
from zigllm_cli.tokenizers.characters import (
    MAX_CHARACTERS,
    REPLACEMENT,
    WHITE_SPACE,
    base,
    category,
    lower,
    repaired,
)
from zigllm_cli.tokenizers.explain import Explanation
from zigllm_cli.tokenizers.matching import WIDTH, StartTable
from zigllm_cli.tokenizers.vocabulary import SPACE, Vocabulary

BLANK = re.compile(f"[{WHITE_SPACE}]")
PYTHON_BLANKS = "\x1c\x1d\x1e\x1f"
"""`str.split` would split here; as controls they are dropped, so dropping them first is safe."""

CHINESE = re.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]"
)
"""Characters that are words of their own: BERT's ranges, without the 256 that tokenizers forgot."""


SOME = 8192
"""Characters whose words are made at a time: they are looked up while they stand in the processor's
cache (1 MB of English in 50 ms, all words at once in 59)."""

SHORT_WORD = 30
"""Characters up to which trying every length is faster (1 to 1.9 us for a word of 7)."""


class WordPieceTokenizer(Tokenizer):
    """Greedy longest match inside normalised words."""

    lossless = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        lowercase = vocabulary.flag("normalizer.lowercase", True)
        strip_accents = vocabulary.flag("normalizer.strip_accents", lowercase)
        self._lowercase = lowercase
        self._normal = Normalizer(lowercase=lowercase, strip_accents=strip_accents)

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        return self._words.encode_lists(self._chunks(text))

    def explain_text(self, text: str, *, after_special: bool) -> list[Explanation]:
        """One entry per stretch of text without blanks."""
        encode = self._words.encode_lists
        return [Explanation(part, encode(self._chunks(part))) for part in _joined(text).split()]

    @property
    def drops_leading_space(self) -> bool:
        """Always: the first word has its U+2581 like any other."""
        return True

    @cached_property
    def prefix(self) -> list[int]:
        """[CLS], which the file calls BOS."""
        return [self._required("bos")]

    @cached_property
    def suffix(self) -> list[int]:
        """[SEP]."""
        return [self._required("sep")]

    @cached_property
    def _starts(self) -> StartTable:
        return StartTable(self.vocabulary.tokens, longest_first=True)

    @cached_property
    def _words(self) -> WordCache:
        """Ids by stretches of text without blanks; plain words that are tokens are known."""
        words = WordCache(self._encode_chunk)
        for text, token in self.vocabulary.ids.items():
            word = text[1:]
            if text[0] == SPACE and _is_plain(word) and word == self._lower_ascii(word):
                words[word] = pack_one(token)
        return words

    def _chunks(self, text: str) -> Iterator[list[str]]:
        """Stretches of text without blanks, with fewer spellings to remember; some at a time."""
        text = self._lower_ascii(repaired(_joined(text)))
        if text.isascii():  # then marks are cut off in 0.01 s per MB, beyond ASCII in 0.03
            for mark in punctuation:
                if mark in text:
                    text = text.replace(mark, f" {mark} ")
        start, size = 0, len(text)
        while start < size:
            stop = text.find(" ", start + SOME)
            stop = size if stop < 0 else stop
            yield text[start:stop].split()
            start = stop

    def _lower_ascii(self, text: str) -> str:
        if not self._lowercase:
            return text
        return text.encode("utf-8", "surrogateescape").lower().decode("utf-8", "surrogateescape")

    def _encode_chunk(self, chunk: str) -> list[int] | bytes:
        """Ids of a text without blanks: words, marks between them, and characters that vanish."""
        if _is_plain(chunk):
            return self._encode_word(chunk)
        word, mark = chunk[:-1], chunk[-1]
        if mark in punctuation and _is_plain(word):  # the most common case by far
            return self._words[word] + self._words[mark]
        words = chunk.translate(self._normal).split()
        return [token for word in words for token in self._encode_word(word)]

    def _encode_word(self, word: str) -> list[int]:
        if len(word) > SHORT_WORD:
            return self._encode_long_word(word)
        known = self.vocabulary.ids
        ids: list[int] = []
        rest = SPACE + word
        while rest:
            head = rest
            while head not in known:
                head = head[:-1]
                if not head:
                    return [self._unknown]
            ids.append(known[head])
            rest = rest[len(head) :]
        return ids

    def _encode_long_word(self, word: str) -> list[int]:
        """The same, trying only the lengths that a token can have."""
        text = SPACE + word
        find, lengths_at = self.vocabulary.ids.get, self._starts
        ids: list[int] = []
        start, size = 0, len(text)
        while start < size:
            for length in lengths_at[text[start : start + WIDTH]]:
                stop = start + length
                if stop <= size and (token := find(text[start:stop])) is not None:
                    break
            else:
                return [self._unknown]
            ids.append(token)
            start = stop
        return ids

    @cached_property
    def _unknown(self) -> int:
        try:
            return self.vocabulary.special["unk"]
        except KeyError:
            raise InputError(
                "a word is not in the vocabulary, and the file names no token for unknown words"
            ) from None


def _is_plain(word: str) -> bool:
    """Whether the normaliser could only change the case."""
    return word.isascii() and word.isalnum()


def _joined(text: str) -> str:
    for control in PYTHON_BLANKS:
        text = text.replace(control, "")
    return text


class Normalizer(dict[int, str]):
    """A `str.translate` table that makes words, filled as characters turn up.

    A character vanishes, becomes a blank, a word of its own (with blanks around) or a letter.
    """

    def __init__(self, *, lowercase: bool, strip_accents: bool) -> None:
        super().__init__()
        self._lowercase = lowercase
        self._strip_accents = strip_accents

    def __missing__(self, code: int) -> str:
        text = self._normalized(chr(code))
        if len(self) < MAX_CHARACTERS:
            self[code] = text
        return text

    def _normalized(self, character: str) -> str:
        if self._strip_accents:
            character = base(character)
        if BLANK.match(character):
            return " "
        kind = category(character)
        if character in ("\0", REPLACEMENT) or kind == "C" or (kind == "M" and self._strip_accents):
            return ""
        text = lower(character) if self._lowercase else character
        if kind == "P" or character in punctuation or CHINESE.match(character):
            return f" {text} "
        return text
