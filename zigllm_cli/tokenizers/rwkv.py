r"""The "world" tokenizer of RWKV (`rwkv`): the longest token, again and again, over bytes.

The file spells tokens like Python literals: \n, \t, \r, \xNN, and any other character behind a
backslash for itself. No BOS or EOS is ever added, as in llama.cpp. A byte that begins no token
becomes the unknown token; llama.cpp emits -1 or runs forever there, this says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers.base import Tokenizer, to_bytes
from zigllm_cli.tokenizers.cache import WordCache
from zigllm_cli.tokenizers.matching import WIDTH, StartTable, cut_before
from zigllm_cli.tokenizers.vocabulary import TokenType

ESCAPES = {ord("t"): ord("\t"), ord("n"): ord("\n"), ord("r"): ord("\r")}
BACKSLASH, HEX = ord("\\"), ord("x")
SPECIAL = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)


class RwkvTokenizer(Tokenizer):
    """Greedy longest match over the bytes of the text."""

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        return self._words.encode_all(self._cut(to_bytes(text).decode("latin-1")))

    def _encode_word(self, data: str) -> list[int]:
        find, lengths_at = self._tokens.get, self._starts
        ids: list[int] = []
        position = 0
        while position < len(data):
            for length in lengths_at[data[position : position + WIDTH]]:
                token = find(data[position : position + length])
                if token is not None:
                    break
            else:
                token, length = self._unknown(data[position]), 1
            ids.append(token)
            position += length
        return ids

    def token_bytes(self, token: int) -> bytes:
        """The bytes of a token."""
        return unescaped(self.vocabulary.tokens[token])

    def piece(self, token: int, *, render_special: bool = True) -> bytes:
        """The bytes of one token; special tokens are spelt with escapes, too."""
        spelt = super().piece(token, render_special=render_special)
        if self.vocabulary.types[token] in SPECIAL:
            return unescaped(spelt.decode("utf-8", "surrogateescape"))
        return spelt

    @cached_property
    def prefix(self) -> list[int]:
        """Nothing, whatever the file says."""
        return []

    @cached_property
    def suffix(self) -> list[int]:
        """Nothing, whatever the file says."""
        return []

    @cached_property
    def _tokens(self) -> dict[str, int]:
        """Ids by the bytes of the token, spelt as Latin-1."""
        texts = self.vocabulary.tokens
        found = {unescaped(text).decode("latin-1"): i for i, text in enumerate(texts)}
        found.pop("", None)
        return found

    @cached_property
    def _cut(self) -> Callable[[str], list[str]]:
        return cut_before(" ", self._tokens)

    @cached_property
    def _words(self) -> WordCache:
        return WordCache(self._encode_word)

    @cached_property
    def _starts(self) -> StartTable:
        return StartTable(self._tokens, longest_first=True)

    def _unknown(self, byte: str) -> int:
        try:
            return self.vocabulary.special["unk"]
        except KeyError:
            raise InputError(
                f"the vocabulary has no token for the byte 0x{ord(byte):02X}"
            ) from None


def unescaped(text: str) -> bytes:
    """The bytes that a token of the file stands for."""
    data = to_bytes(text)
    if BACKSLASH not in data:
        return data
    result = bytearray()
    rest = iter(data)
    for byte in rest:
        if byte != BACKSLASH:
            result.append(byte)
            continue
        escaped = next(rest, None)
        if escaped == HEX:
            high, low = next(rest, None), next(rest, None)
            if high is not None and low is not None:
                result.append((_digit(high) << 4) + _digit(low) & 0xFF)
        elif escaped is not None:
            result.append(ESCAPES.get(escaped, escaped))
    return bytes(result)


def _digit(byte: int) -> int:
    """The value of a hexadecimal digit; as in llama.cpp, capitals are not meant to occur."""
    return byte - 0x57 if 0x61 <= byte < 0x80 else byte - 0x30
