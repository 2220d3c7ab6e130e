"""Unigram language model (`t5`): the most probable way to cut the text into tokens.

Kudo 2018 (arXiv:1804.10959). The text is normalised (`charsmap`), spaces become U+2581, and the
best sum of scores wins (Viterbi; the first one found on ties). Scores are single-precision
numbers added up in double precision, as in llama.cpp. Texts are bytes spelt as Latin-1 in here,
because that is what llama.cpp walks over, broken UTF-8 included.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers.base import Tokenizer, to_bytes
from zigllm_cli.tokenizers.cache import WordCache
from zigllm_cli.tokenizers.charsmap import Normalizer, charsmap
from zigllm_cli.tokenizers.matching import StartTable
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType, Vocabulary

BYTES_OF_LEAD = (1,) * 12 + (2, 2, 3, 4)
"""Bytes of a character by the upper half of its first one."""

UNKNOWN_PENALTY = 10.0
LARGEST_SINGLE = 3.4028234663852886e38
LOWEST = -1.7976931348623157e308

WORD = re.compile(" *[^ ]+| +")


class UnigramTokenizer(Tokenizer):
    """Viterbi over all tokens that lie in the text."""

    lossless = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._merge_spaces = vocabulary.flag("remove_extra_whitespaces", False)
        self._words = WordCache(self._segment)

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        normal = self._normalizer.normalized(to_bytes(text).decode("latin-1"))
        words = self._spaced(normal)
        if not words:
            return []
        ids = (
            self._words.encode_all(words)
            if self._is_separable(normal)
            else self._segment("".join(words))
        )
        return self._checked(ids)

    def token_bytes(self, token: int) -> bytes:
        """The bytes of an ordinary token, U+2581 being a space."""
        kind = self.vocabulary.types[token]
        if kind == TokenType.BYTE:
            return bytes([self.vocabulary.byte_of(token)])
        if kind == TokenType.NORMAL:
            return to_bytes(self.vocabulary.tokens[token].replace(SPACE, " "))
        return b""

    def _spaced(self, text: str) -> list[str]:
        """`text` with the spaces that the file asks for, cut into words with spaces in front."""
        if self._merge_spaces:
            return [" " + word for word in text.split(" ") if word]
        if self.vocabulary.add_space_prefix:
            rest = text.lstrip(" ")
            if rest:
                text = " " * (len(text) - len(rest) + 1) + rest
        return WORD.findall(text)

    def _is_separable(self, text: str) -> bool:
        """Whether words can be encoded apart from each other, with the same ids.

        No token may cross their borders, the borders must be clear to see, and the sums must be
        exact, so that it does not matter where they start.
        """
        if len(text) > self._exact_length or _spelt(SPACE) in text:
            return False
        try:
            text.encode("latin-1").decode()
        except UnicodeDecodeError:
            return False
        return True

    def _checked(self, ids: list[int]) -> list[int]:
        """Neighbouring unknown tokens become one."""
        unknown = self._unknown
        if unknown not in ids:
            return ids
        if unknown < 0:
            raise InputError(
                "a character is not in the vocabulary, and the file names no token for it"
            )
        return ids[:1] + [b for a, b in pairwise(ids) if b != unknown or a != unknown]

    def _segment(self, text: str) -> list[int]:
        """Ids of the best segmentation of `text`, unknown characters one by one."""
        text = text.replace(" ", _spelt(SPACE))
        size, unknown, unknown_score = len(text), self._unknown, self._unknown_score
        lengths_at, find = self._starts, self._pieces.get
        best = [0.0] + [LOWEST] * size
        steps = [(unknown, 0)] * (size + 1)
        start = 0
        while start < size:
            here, alone = best[start], True
            width = min(BYTES_OF_LEAD[ord(text[start]) >> 4], size - start)
            for length in lengths_at[text[start : start + 2]]:
                stop = start + length
                if stop > size:
                    break
                piece = find(text[start:stop])
                if piece is not None:
                    alone = alone and length != width
                    if here + piece[0] > best[stop]:
                        best[stop], steps[stop] = here + piece[0], (piece[1], start)
            stop = start + width
            if alone and here + unknown_score > best[stop]:
                best[stop], steps[stop] = here + unknown_score, (unknown, start)
            start = stop
        return _path(steps)

    @cached_property
    def _normalizer(self) -> Normalizer:
        kept = self._texts(TokenType.USER_DEFINED)
        return Normalizer(
            charsmap(self.vocabulary.value("precompiled_charsmap")),
            [_spelt(text) for text, _ in kept],
        )

    @cached_property
    def _file_types(self) -> list[int]:
        """Types as the file has them: what `Vocabulary` corrects comes too late for llama.cpp."""
        types = self.vocabulary.value("token_type")
        if types is None:
            return [TokenType.NORMAL] * len(self.vocabulary)
        return list(types)[: len(self.vocabulary)]

    def _texts(self, *kinds: TokenType) -> Iterable[tuple[str, int]]:
        rows = enumerate(zip(self.vocabulary.tokens, self._file_types, strict=True))
        return ((text, token) for token, (text, kind) in rows if kind in kinds)

    @cached_property
    def _scores(self) -> array[float]:
        return array("f", self.vocabulary.scores)

    @cached_property
    def _pieces(self) -> dict[str, tuple[float, int]]:
        """Score and id of everything that can be found in a text."""
        kinds = TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.UNUSED
        scores, is_free = self._scores, self._is_free
        return {
            _spelt(text): (0.0 if is_free(token) else scores[token], token)
            for text, token in self._texts(*kinds)
        }

    def _is_free(self, token: int) -> bool:
        """Whether the token is user-defined: such ones cost nothing."""
        kind = self.vocabulary.types[token]
        if kind == TokenType.CONTROL:  # by its text; it remains user-defined
            return self._file_types[token] == TokenType.USER_DEFINED
        return kind == TokenType.USER_DEFINED

    @cached_property
    def _starts(self) -> StartTable:
        return StartTable(self._pieces, longest_first=False)

    @cached_property
    def _unknown(self) -> int:
        return self.vocabulary.special.get("unk", -1)

    @cached_property
    def _unknown_score(self) -> float:
        lowest = LARGEST_SINGLE
        for _, token in self._texts(TokenType.NORMAL):
            lowest = min(lowest, self._scores[token])
        return array("f", [lowest - UNKNOWN_PENALTY])[0]

    @cached_property
    def _exact_length(self) -> int:
        """Length of the longest text in which every sum of scores is exact; 0 for no words.

        Scores are multiples of some power of two; a sum is exact while it is less than 2^53 of
        these.
        """
        if any(SPACE in text.lstrip(SPACE) for text in self.vocabulary.tokens):
            return 0
        scores = {score for score, _ in self._pieces.values()} | {self._unknown_score}
        try:
            grain = max(score.as_integer_ratio()[1] for score in scores)
        except (OverflowError, ValueError):  # infinite, or not a number
            return 0
        largest = max(map(abs, scores))
        # A space becomes three bytes, one or two may be added, and no token is empty.
        return int(2**53 / (largest * grain)) // 3 - 2


def _spelt(text: str) -> str:
    """The UTF-8 bytes of `text` as Latin-1 characters."""
    return to_bytes(text).decode("latin-1")


def _path(steps: list[tuple[int, int]]) -> list[int]:
    """The tokens on the way back from the end to the start."""
    ids = []
    position = len(steps) - 1
    while True:
        token, position = steps[position]
        ids.append(token)
        if position == 0:
            return ids[::-1]
