"""SentencePiece BPE (`llama`): merge the pair whose union has the best score in the vocabulary.

Spaces are written as U+2581 first, and one is put in front. Characters that end without a token
become byte tokens `<0xXX>`. Kudo and Richardson 2018 (arXiv:1808.06226); ids as llama.cpp's.
"""

from __future__ import annotations

import re
from functools import cached_property

from zigllm_cli.tokenizers.base import Tokenizer, to_bytes
from zigllm_cli.tokenizers.cache import WordCache
from zigllm_cli.tokenizers.merging import PairMerger
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType, Vocabulary


class SentencePieceTokenizer(Tokenizer):
    """Scores instead of merge ranks, the whole text instead of words."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._words = WordCache(self._encode_word)

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        return self._words.encode_all(self.pre_tokens(text, after_special=after_special))

    def pre_tokens(self, text: str, *, after_special: bool) -> list[str]:
        """The pieces that can be merged apart from each other: no token crosses their borders."""
        if after_special and self.vocabulary.add_space_prefix:
            text = " " + text
        return self._border.split(text.replace(" ", SPACE))

    def token_bytes(self, token: int) -> bytes:
        """The bytes of an ordinary token, U+2581 being a space."""
        kind = self.vocabulary.types[token]
        if kind == TokenType.BYTE:
            return bytes([self.vocabulary.byte_of(token)])
        if kind == TokenType.NORMAL:
            return to_bytes(self.vocabulary.tokens[token].replace(SPACE, " "))
        return b""

    @cached_property
    def merger(self) -> PairMerger:
        """Pairs by their union; the better the score, the lower the rank."""
        vocabulary = self.vocabulary
        order = {score: i for i, score in enumerate(sorted(set(vocabulary.scores), reverse=True))}
        ranks = {
            text: order[score]
            for text, score in zip(vocabulary.tokens, vocabulary.scores, strict=True)
        }
        return PairMerger(ranks, joint="")

    @cached_property
    def _border(self) -> re.Pattern[str]:
        """Where a word begins: in front of U+2581, unless some token holds both neighbours.

        llama.cpp merges the whole text at once. A merge never leaves the vocabulary, so cutting
        where no token can lie gives the same ids, and pieces that repeat are merged only once.
        """
        crossing = {SPACE}
        for text in self.vocabulary.tokens:
            if SPACE in text[1:]:
                crossing.update(re.findall(f"(.){SPACE}", text, re.DOTALL))
                crossing.update(re.findall(f"{SPACE}(.)(?={SPACE})", text, re.DOTALL))
        neighbours = "".join(map(re.escape, sorted(crossing)))
        return re.compile(f"(?<=[^{neighbours}])(?={SPACE})")

    def _encode_word(self, word: str) -> list[int]:
        find = self.vocabulary.ids.get
        ids: list[int] = []
        for symbol in self.merger.merge(word):
            token = find(symbol)
            ids += self._bytes(symbol) if token is None else [token]
        return ids

    def _bytes(self, symbol: str) -> list[int]:
        known, unknown = self.vocabulary.byte_ids, self.vocabulary.special.get("unk")
        ids = [known.get(byte, unknown) for byte in to_bytes(symbol)]
        return [token for token in ids if token is not None]
