"""Byte-pair encoding (`gpt2`, `gemma4`): split into words, then merge by the file's rank list.

How a text splits into words is the business of `pretokenizers`. Most vocabularies spell bytes as
visible characters (`bytelevel`); gemma4's and its kin hold plain text with U+2581 for spaces and
`<0xXX>` tokens for bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers.base import Tokenizer, to_bytes
from zigllm_cli.tokenizers.bytelevel import original, visible
from zigllm_cli.tokenizers.cache import WordCache, pack_one
from zigllm_cli.tokenizers.characters import repaired
from zigllm_cli.tokenizers.explain import Explanation, Step
from zigllm_cli.tokenizers.merging import PairMerger
from zigllm_cli.tokenizers.pretokenizers import pretokenizer
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType, Vocabulary

SEGMENT = re.compile(r"[\x00-\x7f]*[!-~](?= )|\s*\S+(?:[^\S ]\s*\S*)*|\s+")
"""Text up to a space that follows something visible: as long as it is ASCII, which splits fastest;
otherwise as short as possible, mostly a word, which can be remembered."""

_LETTER = "[A-Za-zÀ-ÖØ-öø-ɏА-яё]"
LETTER_SEGMENT = re.compile(rf"[\x00-\x7f]*[!-~](?= {_LETTER})|(?s:.)(?:[^ ]| (?!{_LETTER}))*")
"""The same up to a space before a letter, for the alphabets that go with spaces."""


class BytePairTokenizer(Tokenizer):
    """Words, then merges by rank."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        name = "gemma4" if vocabulary.model == "gemma4" else vocabulary.pre
        self.pre = pretokenizer(name)
        super().__init__(vocabulary)
        self.add_bos = self.pre.force_bos or vocabulary.flag("add_bos_token", self.pre.add_bos)
        self.add_sep = vocabulary.flag("add_sep_token", self.pre.add_sep)
        if not self.pre.has_bos and vocabulary.value("bos_token_id") is None:
            vocabulary.special.pop("bos", None)
        self._spelling = visible if self.pre.byte_encode else str
        self._find = vocabulary.ids.get
        self._words = WordCache(self._encode_word)
        self._segments = WordCache(self._encode_segment)

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        text = self._prepared(text)
        if self.pre.cuts_before_spaces:
            return self._segments.encode_all(SEGMENT.findall(text))
        if self.pre.cuts_before_letters:
            return self._segments.encode_all(LETTER_SEGMENT.findall(text))
        return self._words.encode_all(self.pre.split(text))

    def pre_tokens(self, text: str) -> list[str]:
        """The words that merges do not cross; one after the other they are the text."""
        return self.pre.split(self._prepared(text))

    def _prepared(self, text: str) -> str:
        return repaired(text.replace(" ", SPACE) if self.pre.escape_spaces else text)

    def explain_text(self, text: str, *, after_special: bool) -> list[Explanation]:
        """Every word with its merges; the reason of a merge is its rank in the file's list."""
        entries = []
        for word in self.pre_tokens(text):
            ids, spelt = self._words.encode_all([word]), self._spelling(word)
            if self._whole(spelt) is not None:
                entries.append(Explanation(word, ids))
                continue
            steps = [Step(symbols, f"rank {rank}") for symbols, _, rank in self.merger.steps(spelt)]
            entries.append(Explanation(word, ids, list(spelt), steps))
        return entries

    def token_bytes(self, token: int) -> bytes:
        """The bytes of an ordinary token."""
        if self.pre.escape_spaces or self.vocabulary.types[token] != TokenType.NORMAL:
            return super().token_bytes(token)
        return original(self.vocabulary.tokens[token])

    @cached_property
    def merger(self) -> PairMerger:
        """Pairs as the file spells them, "left right", by their place in the list."""
        merges = self.vocabulary.merges()
        if merges is None:
            if self.pre.needs_merges:
                raise InputError("tokenizer.ggml.merges is missing; convert the model again")
            merges = []
        last = len(merges) - 1
        # Backwards, so that of two equal entries the first one counts.
        return PairMerger({pair: last - i for i, pair in enumerate(reversed(merges))}, joint=" ")

    def _encode_segment(self, text: str) -> bytes:
        return self._words.packed(self.pre.split(text))

    def _encode_word(self, word: str) -> list[int] | bytes:
        spelt = self._spelling(word)
        token = self._whole(spelt)
        if token is not None:
            return pack_one(token)
        symbols = self.merger.merge(spelt)
        ids = list(map(self._find, symbols))
        if None not in ids:
            return ids  # type: ignore[return-value]
        return [
            token
            for symbol, known in zip(symbols, ids, strict=True)
            for token in (self._fallback(symbol) if known is None else [known])
        ]

    @cached_property
    def _whole(self) -> Callable[[str], int | None]:
        """The token of a word that is taken as it is, without merging."""
        find = self.vocabulary.ids.get
        if self.pre.ignore_merges:
            return find
        if self.pre.whole_newlines:
            return lambda spelt: None if spelt.strip("\n") else find(spelt)
        return lambda spelt: None

    def _fallback(self, symbol: str) -> Iterable[int]:
        """Byte by byte; what the vocabulary lacks is dropped, as llama.cpp does."""
        if self.pre.byte_encode:
            # llama.cpp looks single bytes of the UTF-8 spelling up, so only ASCII can be found.
            names = [character for character in symbol if character.isascii()]
        else:
            names = [f"<0x{byte:02X}>" for byte in to_bytes(symbol)]
        return [token for token in map(self._find, names) if token is not None]
