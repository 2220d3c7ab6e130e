"""Byte-pair encoding of lower-cased words (`whitespace`): blanks separate words and vanish.

Everything else, the pre-tokenizer included, is `bpe`'s.
"""

from __future__ import annotations

import re

from zigllm_cli.tokenizers.bpe import BytePairTokenizer
from zigllm_cli.tokenizers.cache import WordCache
from zigllm_cli.tokenizers.characters import WHITE_SPACE, lowered, repaired
from zigllm_cli.tokenizers.vocabulary import SPACE, Vocabulary

WORD = re.compile(f"[^{WHITE_SPACE}]+")


class WhitespaceTokenizer(BytePairTokenizer):
    """Words between blanks, each encoded apart from the others."""

    lossless = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        # The pre-tokenizer "whitespace" keeps the case unless the file asks otherwise.
        keep = vocabulary.pre == "whitespace"
        self._lowercase = vocabulary.flag("normalizer.lowercase", not keep)
        self._blank_words = WordCache(self._encode_blank_word)

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        return self._blank_words.encode_all(self._split(text))

    def pre_tokens(self, text: str) -> list[str]:
        """The words of `text`; blanks between them are lost."""
        pre_tokens = super().pre_tokens
        return [piece for word in self._split(text) for piece in pre_tokens(word)]

    def _split(self, text: str) -> list[str]:
        if self.pre.escape_spaces:
            text = text.replace(" ", SPACE)
        text = repaired(text)
        if self._lowercase:
            text = lowered(text)
        return WORD.findall(text)

    def _encode_blank_word(self, word: str) -> list[int]:
        return self._words.encode_all(super().pre_tokens(word))
