"""SentencePiece BPE (`llama`): merge the pair whose union has the best score in the vocabulary.

Spaces are written as U+2581 first, and one is put in front. Characters that end without a token
become byte tokens `<0xXX>`. Kudo and Richardson 2018 (arXiv:1808.06226); ids as llama.cpp's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from zigllm_cli.tokenizers.base import Tokenizer, to_bytes
from zigllm_cli.tokenizers.cache import WordCache
from zigllm_cli.tokenizers.explain import Explanation, Step
from zigllm_cli.tokenizers.matching import cut_before
from zigllm_cli.tokenizers.merging import PairMerger
from zigllm_cli.tokenizers.vocabulary import SPACE, Vocabulary

_MARK = re.escape("".join(chr(c) for c in range(0x21, 0x7F) if not chr(c).isalnum()))
PIECES = (
    re.compile(f"{SPACE}*(?:[{_MARK}]+|[^{_MARK}{SPACE}\n]+)|{SPACE}+|\n+"),
    re.compile(f"{SPACE}*[^{SPACE}\n]+|{SPACE}+|\n+"),
)
"""Pieces of a text, the finest first: where a border lies depends on two neighbours alone, so a
pattern is safe when it takes every token in one piece. The vocabulary of LLaMA 2 allows the
first one (no token mixes letters and marks)."""


class SentencePieceTokenizer(Tokenizer):
    """Scores instead of merge ranks, the whole text instead of words."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._words = WordCache(self._encode_word)
        self._symbols = WordCache(self._encode_symbol)

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        return self._words.encode_all(self.pre_tokens(text, after_special=after_special))

    def pre_tokens(self, text: str, *, after_special: bool) -> list[str]:
        """The pieces that can be merged apart from each other: no token crosses their borders."""
        if after_special and self.vocabulary.add_space_prefix:
            text = " " + text
        return self._split(text.replace(" ", SPACE))

    def explain_text(self, text: str, *, after_special: bool) -> list[Explanation]:
        """Every piece with its merges; the reason of a merge is its score."""
        vocabulary = self.vocabulary
        entries = []
        for word in self.pre_tokens(text, after_special=after_special):
            steps = []
            for symbols, at, _ in self.merger.steps(word):
                score = vocabulary.scores[vocabulary.ids[symbols[at]]]
                steps.append(Step(symbols, f"score {score:g}"))
            entries.append(Explanation(word, self._words.encode_all([word]), list(word), steps))
        return entries

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
    def _split(self) -> Callable[[str], list[str]]:
        """Cut a text into pieces that no token can cross.

        llama.cpp merges the whole text at once. A merge never leaves the vocabulary, so cutting
        where no token can lie gives the same ids, and pieces that repeat are merged only once.
        """
        tokens = [text for text in self.vocabulary.tokens if len(text) > 1]
        for pattern in PIECES:
            if not any(self._reachable(text) for text in tokens if not pattern.fullmatch(text)):
                return pattern.findall
        return cut_before(SPACE, tokens)

    def _reachable(self, text: str) -> bool:
        """Whether a merge can make this token: it is the union of two symbols."""
        known = self.vocabulary.ids
        return any(
            (at == 1 or text[:at] in known) and (at == len(text) - 1 or text[at:] in known)
            for at in range(1, len(text))
        )

    def _encode_word(self, word: str) -> bytes:
        return self._symbols.packed(self.merger.merge(word))

    def _encode_symbol(self, symbol: str) -> list[int]:
        """The token of a symbol, or those of its bytes; unknown where they lack too."""
        token = self.vocabulary.ids.get(symbol)
        if token is not None:
            return [token]
        known, unknown = self.vocabulary.byte_ids, self.vocabulary.special.get("unk")
        ids = [known.get(byte, unknown) for byte in to_bytes(symbol)]
        return [token for token in ids if token is not None]
