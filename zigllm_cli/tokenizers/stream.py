"""Text from ids that arrive one by one, never splitting a UTF-8 character."""

from __future__ import annotations

import codecs
from collections.abc import Callable


class TextStream:
    """Decode tokens as they come: what `push` returns can be shown at once.

    A token may end in the middle of a character; its bytes wait for the rest. Bytes that can
    never become a character turn into U+FFFD, the same ones however the ids are grouped.
    """

    def __init__(self, piece: Callable[[int], bytes], *, drop_space: bool) -> None:
        self._piece = piece
        self._drop_space = drop_space
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text that this token completes; may be empty."""
        return self._decoder.decode(self._without_prefix(self._piece(token)))

    def close(self) -> str:
        """What an unfinished character at the end turns into."""
        return self._decoder.decode(b"", final=True)

    def _without_prefix(self, piece: bytes) -> bytes:
        if not (self._drop_space and piece):
            return piece
        self._drop_space = False
        return piece.removeprefix(b" ")
