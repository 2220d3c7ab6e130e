"""Byte-pair encoding of lower-cased words (`whitespace`): blanks separate words and vanish.

Everything else, the pre-tokenizer included, is `bpe`'s.
"""

from __future__ import annotations

import re

from zigllm_cli.tokenizers.bpe import BytePairTokenizer
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

    def pre_tokens(self, text: str) -> list[str]:
        """The words of `text`; blanks between them are lost."""
        if self.pre.escape_spaces:
            text = text.replace(" ", SPACE)
        text = repaired(text)
        if self._lowercase:
            text = lowered(text)
        pre_tokens = super().pre_tokens
        return [piece for word in WORD.findall(text) for piece in pre_tokens(word)]
