"""The normalisation rules of a SentencePiece model (`precompiled_charsmap`).

    u32 size | size bytes: double array, one u32 per unit | replacements, each ended by a NUL

Little-endian in every GGUF file, as SentencePiece wrote it. The double array (Kanda 2018, "XOR-
compressed") is a trie over bytes: from a unit, byte `c` leads to unit `base ^ c`, which must
carry `c` as its label; a unit with the leaf bit has, at its own base, the offset of the
replacement. The longest key that the text starts with is replaced. Where the rules came from
(NFKC and such) is not known here. The bytes are untrusted.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from zigllm_cli.errors import InputError
from zigllm_cli.gguf.types import ValueType
from zigllm_cli.tokenizers.cache import MAX_WORD, MAX_WORDS

LABEL = 1 << 31 | 0xFF
LEAF = 1 << 8
WIDE = 1 << 9
VALUE = (1 << 31) - 1

CHARACTER = re.compile(
    "[\\0-\x7f]|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}"
)
"""What llama.cpp takes for the UTF-8 of one character."""

REPLACEMENT = "\ufffd".encode().decode("latin-1")

MAX_KEY = 1024
"""No rule looks at so many bytes; a longer walk means that the array leads in circles."""


class CharsMap:
    """Finds the longest rule that applies at a place; texts are bytes spelt as Latin-1.

    Raises:
        InputError: the bytes are no such rules; also while matching.
    """

    def __init__(self, packed: bytes) -> None:
        size = int.from_bytes(packed[:4], "little")
        if len(packed) < 4 or 4 + size >= len(packed):
            raise InputError(
                f"tokenizer.ggml.precompiled_charsmap of {len(packed)} bytes announces {size} "
                "bytes of rules: the file is corrupt"
            )
        self._units = struct.unpack_from(f"<{size // 4}I", packed, 4)
        self._replacements = packed[4 + size :].decode("latin-1")

    @cached_property
    def spares_ascii(self) -> bool:
        """Whether printable ASCII, spaces included, is certainly not touched by a rule.

        Two such characters in the trie, one behind the other, count as a rule.
        """
        try:
            return self._spares(0)
        except IndexError:
            return False

    def _spares(self, node: int, depth: int = 0) -> bool:
        unit = self._units[node]
        children = node ^ (unit >> 10 << (8 if unit & WIDE else 0))
        for byte in range(0x20, 0x7F):
            unit = self._units[children ^ byte]
            if unit & LABEL == byte and (
                unit & LEAF or depth or not self._spares(children ^ byte, depth + 1)
            ):
                return False
        return True

    def match(self, text: str, start: int) -> tuple[str | None, int, bool]:
        """The rule for the longest key that begins at `start`.

        Returns its replacement (None if no key matches), the end of the key, and whether a
        longer key could have matched if the text did not end here.
        """
        if not self._units:
            return None, start, False
        try:
            value, stop, open_end = self._walk(text, start)
        except IndexError:
            raise InputError(
                "tokenizer.ggml.precompiled_charsmap points outside of its own rules"
            ) from None
        return (None if value < 0 else self._replacement(value)), stop, open_end

    def _walk(self, text: str, start: int) -> tuple[int, int, bool]:
        units = self._units
        value, stop = -1, start
        unit = units[0]
        node = unit >> 10 << (8 if unit & WIDE else 0)
        for position in range(start, min(len(text), start + MAX_KEY)):
            byte = ord(text[position])
            node ^= byte
            unit = units[node]
            if not byte or unit & LABEL != byte:
                return value, stop, False
            node ^= unit >> 10 << (8 if unit & WIDE else 0)
            if unit & LEAF:
                value, stop = units[node] & VALUE, position + 1
        if start + MAX_KEY <= len(text):
            raise InputError("tokenizer.ggml.precompiled_charsmap leads in circles")
        return value, stop, True

    def _replacement(self, value: int) -> str:
        stop = self._replacements.find("\0", value)
        if stop < 0:
            raise InputError(
                f"tokenizer.ggml.precompiled_charsmap has no replacement at byte {value}"
            )
        return self._replacements[value:stop]


def charsmap(array: Any) -> CharsMap | None:
    """The rules in a metadata value; None where the file has none.

    Raises:
        InputError: the value is not an array of bytes, or no such rules.
    """
    if array is None:
        return None
    if getattr(array, "element_type", None) not in (ValueType.INT8, ValueType.UINT8):
        raise InputError("tokenizer.ggml.precompiled_charsmap is not an array of bytes")
    return CharsMap(array.tobytes())


class _LooksBeyondError(Exception):
    """What a chunk becomes depends on the text behind it."""


class _ChunkCache(dict[str, str]):
    def __init__(self, normalize: Callable[[str], str]) -> None:
        super().__init__()
        self._normalize = normalize

    def __missing__(self, chunk: str) -> str:
        text = self._normalize(chunk)
        if len(chunk) <= MAX_WORD:
            if len(self) >= MAX_WORDS:
                self.clear()
            self[chunk] = text
        return text


class Normalizer:
    """Applies the rules to a text; all texts here are bytes spelt as Latin-1.

    Args:
        rules: the file's, if it has any.
        kept: user-defined tokens, which no rule may touch. As in llama.cpp, the start of one is
            kept as well, even when the text then goes on differently.
    """

    def __init__(self, rules: CharsMap | None, kept: Iterable[str]) -> None:
        self._rules = rules
        self._kept: dict[str, Any] = {}
        self._spares_ascii = rules is None or rules.spares_ascii
        for token in kept:
            self._spares_ascii &= " " not in token
            node = self._kept
            for byte in token:
                node = node.setdefault(byte, {})
        self._chunks = _ChunkCache(self._chunk)

    def normalized(self, text: str) -> str:
        """`text` by the rules; every byte that is no UTF-8 becomes U+FFFD.

        Chunks that end with a space are remembered, because text repeats itself. Should a rule
        look beyond the space, the whole text is done in one go.
        """
        if self._is_inert(text):
            return text
        *chunks, last = text.split(" ")
        try:
            return "".join(map(self._chunks.__getitem__, chunks)) + self._apply(last)[0]
        except _LooksBeyondError:
            return self._apply(text)[0]

    def _chunk(self, chunk: str) -> str:
        """The normal form of `chunk` and a space."""
        chunk += " "
        if self._is_inert(chunk):
            return chunk
        text, open_end = self._apply(chunk)
        if open_end:
            raise _LooksBeyondError
        return text

    def _is_inert(self, text: str) -> bool:
        return self._spares_ascii and text.isascii() and text.isprintable()

    def _apply(self, text: str) -> tuple[str, bool]:
        """The normal form, and whether it could be another one if the text went on."""
        parts: list[str] = []
        position, open_ends = 0, False
        while position < len(text):
            part, stop, open_end = self._step(text, position)
            parts.append(part)
            position = stop
            open_ends |= open_end
        return "".join(parts), open_ends

    def _step(self, text: str, start: int) -> tuple[str, int, bool]:
        open_end = False
        if text[start] in self._kept:
            stop, open_end = self._kept_until(text, start)
            return text[start:stop], stop, open_end
        if self._rules is not None:
            replacement, stop, open_end = self._rules.match(text, start)
            if replacement is not None:
                return replacement, stop, open_end
        character = CHARACTER.match(text, start)
        if character is None:
            return REPLACEMENT, start + 1, open_end
        return character[0], character.end(), open_end

    def _kept_until(self, text: str, start: int) -> tuple[int, bool]:
        node = self._kept
        for position in range(start, len(text)):
            found = node.get(text[position])
            if found is None:
                return position, False
            node = found
        return len(text), bool(node)
