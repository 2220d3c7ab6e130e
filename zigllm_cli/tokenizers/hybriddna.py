"""Byte-pair encoding with stretches of DNA (`hybriddna`): six letters are one token.

Text between `<dna>` and `</dna>` is cut into 6-mers, upper-cased, the last one filled up with A;
what is not a known 6-mer becomes `<oov>`. The file spells 6-mers with U+E000 behind them, which
keeps them apart from ordinary tokens of the same letters; they print without it. A vocabulary
that lacks one of the three tags is plain byte-pair encoding, as in llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from zigllm_cli.tokenizers.base import to_bytes
from zigllm_cli.tokenizers.bpe import BytePairTokenizer
from zigllm_cli.tokenizers.explain import Explanation
from zigllm_cli.tokenizers.vocabulary import Vocabulary

OPEN, CLOSE, OTHER = "<dna>", "</dna>", "<oov>"
STRAND = re.compile(f"{OPEN}(.*?)({CLOSE}|\\Z)", re.DOTALL)
MARKER = "\ue000"
K = 6


class HybridDnaTokenizer(BytePairTokenizer):
    """`BytePairTokenizer` outside of `<dna>` ... `</dna>`, 6-mers inside."""

    lossless = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        # Only what is printed changes: `vocabulary.ids` keeps finding 6-mers by the marked text.
        first = vocabulary.ids.get(OTHER, len(vocabulary)) + 1
        for token in range(first, len(vocabulary)):
            text = vocabulary.tokens[token]
            if text != MARKER:
                vocabulary.tokens[token] = text.removesuffix(MARKER)
        super().__init__(vocabulary)
        self._has_tags = {OPEN, CLOSE, OTHER} <= vocabulary.ids.keys()

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        ids: list[int] = []
        for part, strand in self._parts(text):
            ids += strand or super().encode_text(part, after_special=after_special)
        return ids

    def explain_text(self, text: str, *, after_special: bool) -> list[Explanation]:
        """The words and merges of plain text; a strand with its tags is one entry."""
        entries: list[Explanation] = []
        for part, strand in self._parts(text):
            entries += (
                [Explanation(part, strand)]
                if strand
                else super().explain_text(part, after_special=after_special)
            )
        return entries

    def _parts(self, text: str) -> Iterator[tuple[str, list[int]]]:
        """Plain text without ids, and strands of DNA with theirs."""
        position = 0
        for match in STRAND.finditer(text) if self._has_tags else ():
            if match.start() > position:
                yield text[position : match.start()], []
            close = [self.vocabulary.ids[CLOSE]] if match[2] else []
            yield match[0], [self.vocabulary.ids[OPEN], *self._strand(match[1]), *close]
            position = match.end()
        if position < len(text):
            yield text[position:], []

    def _strand(self, strand: str) -> Iterator[int]:
        """Ids of what stands between the tags; 6-mers are counted in bytes."""
        letters = to_bytes(strand).upper()
        find, other = self.vocabulary.ids.get, self.vocabulary.ids[OTHER]
        for start in range(0, len(letters), K):
            piece = letters[start : start + K].ljust(K, b"A")
            yield find(piece.decode("utf-8", "surrogateescape") + MARKER, other)
