"""Unigram language model (`t5`): the most probable way to cut the text into tokens.

Kudo 2018 (arXiv:1804.10959). The text is normalised (`charsmap`), spaces become U+2581, and the
best sum of scores wins (Viterbi; the first one found on ties). Scores are single-precision
numbers added up in double precision, as in llama.cpp. Texts are bytes spelt as Latin-1 in here,
because that is what llama.cpp walks over, broken UTF-8 included.
"""

from __future__ import annotations

import re
from array import array
from functools import cached_property
from itertools import pairwise
from math import frexp, isfinite

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers.base import Tokenizer, to_bytes
from zigllm_cli.tokenizers.cache import WordCache
from zigllm_cli.tokenizers.charsmap import Normalizer, charsmap
from zigllm_cli.tokenizers.matching import WIDTH, StartTable
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
            for length in lengths_at[text[start : start + WIDTH]]:
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
        rows = zip(self.vocabulary.tokens, self._file_types, strict=True)
        kept = [_spelt(text) for text, kind in rows if kind == TokenType.USER_DEFINED]
        return Normalizer(charsmap(self.vocabulary.value("precompiled_charsmap")), kept)

    @cached_property
    def _file_types(self) -> list[int]:
        """Types as the file has them: what `Vocabulary` corrects comes too late for llama.cpp."""
        types = self.vocabulary.value("token_type")
        if types is None:
            return [TokenType.NORMAL] * len(self.vocabulary)
        numbers: list[int] = types.tolist() if hasattr(types, "tolist") else types
        return numbers[: len(self.vocabulary)]

    @cached_property
    def _scores(self) -> list[float]:
        return _single(self.vocabulary.scores)

    @cached_property
    def _pieces(self) -> dict[str, tuple[float, int]]:
        """Score and id of everything that can be found in a text; user-defined tokens cost 0."""
        normal, user_defined = TokenType.NORMAL, TokenType.USER_DEFINED
        kinds = normal, user_defined, TokenType.UNUSED
        vocabulary = self.vocabulary
        rows = zip(vocabulary.tokens, self._file_types, vocabulary.types, self._scores, strict=True)
        found = {}
        for token, (text, kind, corrected, score) in enumerate(rows):
            if kind in kinds:
                if user_defined in (kind, corrected) and corrected != normal:
                    score = 0.0
                found[_spelt(text)] = score, token
        return found

    @cached_property
    def _starts(self) -> StartTable:
        return StartTable(self._pieces, longest_first=False)

    @cached_property
    def _unknown(self) -> int:
        return self.vocabulary.special.get("unk", -1)

    @cached_property
    def _unknown_score(self) -> float:
        rows = zip(self._scores, self._file_types, strict=True)
        lowest = LARGEST_SINGLE
        for score, kind in rows:
            if kind == TokenType.NORMAL and score < lowest:
                lowest = score
        return _single([lowest - UNKNOWN_PENALTY])[0]

    @cached_property
    def _exact_length(self) -> int:
        """Length of the longest text in which every sum of scores is exact; 0 for no words.

        A single-precision number is a multiple of 2^-24 of the power of two above it, and a sum
        of such multiples is exact while it is less than 2^53 of the smallest.
        """
        if any(SPACE in text.lstrip(SPACE) for text in self.vocabulary.tokens if SPACE in text):
            return 0
        scores = [abs(score) for score, _ in self._pieces.values() if score]
        scores.append(abs(self._unknown_score))
        if not isfinite(sum(scores)):
            return 0
        grain = 2.0 ** (frexp(min(scores))[1] - 24)
        # A space becomes three bytes, one or two may be added, and no token is empty.
        return int(2**53 * grain / max(scores)) // 3 - 2


def _single(numbers: list[float]) -> list[float]:
    """The numbers rounded to single precision."""
    return array("f", numbers).tolist()


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
