"""What the engine knows of a conversation, and what happens when its context is full.

A prompt grows from turn to turn, and what the model said is known by the tokens that it chose:
encoded anew from their text, they could be others. So the sequence is kept as pieces of text with
their tokens, and only what follows the pieces that still stand is encoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from zigllm_cli.engine.session import Session
from zigllm_cli.errors import UsageError
from zigllm_cli.templates import Rendered

Encode = Callable[[int, bool], list[int]]
"""From a place in the text, and whether a special token stands before it, to tokens."""


@dataclass(frozen=True)
class Piece:
    """A stretch of the sequence: its text, and the tokens it was evaluated as."""

    text: str
    ids: list[int]


class Memory:
    """The pieces of a sequence, and the engine's session that knows them.

    When the context is full, the oldest tokens behind the first `kept` are forgotten; the session
    then holds the sequence without those.

    Attributes:
        session: the engine's.
        kept: tokens at the start that are never forgotten.
        dropped: tokens behind them that are.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.pieces: list[Piece] = []
        self.kept = 0
        self.dropped = 0

    def tokens_of(
        self, rendered: Rendered, encode: Encode, is_special: Callable[[int], bool]
    ) -> list[int]:
        """The tokens of a prompt; those of pieces it begins with stay what they are."""
        ids: list[int] = []
        place, standing = 0, 0
        for piece in self.pieces:
            if not rendered.text.startswith(piece.text, place):
                break
            ids += piece.ids
            place += len(piece.text)
            standing += 1
        rest = encode(place, not ids or is_special(ids[-1]))
        self.pieces = [*self.pieces[:standing], Piece(rendered.text[place:], rest)]
        return ids + rest

    def fit(self, ids: list[int], *, kept: int, room: int, shift: bool) -> list[int]:
        """The tokens to evaluate: all, or without the oldest ones where the context is full.

        Args:
            kept: tokens at the start to spare, if nothing was forgotten yet.
            room: tokens that are to stay free for the answer.

        Raises:
            UsageError: it does not fit, and may not or can't be shortened.
        """
        context = self.session.runner.context
        if self.dropped and len(ids) <= self.kept + self.dropped:
            self.dropped = 0
        if not self.dropped:
            self.kept = kept
        while len(window := self._window(ids)) > context - room:
            newest = len(self.pieces[-1].ids)
            surplus = len(window) - self.kept - newest
            if not shift or surplus < 1:
                what = "the conversation" if surplus >= 1 else "the last message"
                raise UsageError(
                    f"{what} has {len(window)} tokens, which leaves no room in the context of "
                    f"{context}: /undo, /clear, or start with a larger --ctx"
                )
            self._forget(window, max(surplus // 2, min(surplus, len(window) + room - context)))
        return window

    def _window(self, ids: list[int]) -> list[int]:
        return ids[: self.kept] + ids[self.kept + self.dropped :]

    def _forget(self, window: list[int], count: int) -> None:
        """Forget tokens behind the kept ones; where the engine knows what follows, it moves."""
        session = self.session
        session.reuse(window)
        if len(session) >= self.kept + count:
            session.shift(self.kept, count)
        elif len(session) > self.kept:
            session.truncate(self.kept)
        self.dropped += count

    def state(self) -> dict[str, Any]:
        """Where the pieces end, to find them again in a session that was saved and loaded."""
        text = "".join(piece.text for piece in self.pieces)
        return {
            "pieces": [[len(piece.text), len(piece.ids)] for piece in self.pieces],
            "digest": _digest(text),
            "dropped": self.dropped,
            "tail": [i for piece in self.pieces for i in piece.ids][len(self.session) :],
        }

    def recover(self, state: dict[str, Any], text: str) -> bool:
        """Find the pieces of a loaded session in the conversation's text; whether they stand."""
        lengths = state["pieces"]
        whole = sum(characters for characters, _ in lengths)
        if state["dropped"] or _digest(text[:whole]) != state["digest"]:
            return False
        tokens = [*self.session.tokens, *state["tail"]]  # chosen, but not evaluated yet
        place, count = 0, 0
        for characters, ids in lengths:
            piece = Piece(text[place : place + characters], tokens[count : count + ids])
            self.pieces.append(piece)
            place, count = place + characters, count + ids
        return count == len(tokens)

    def answered(self, text: str | None, ids: list[int], evaluated: int) -> int:
        """Note what was generated; the tokens that were forgotten for it.

        Args:
            text: of `ids`; None where they are not to be found in the text of the answer.
            evaluated: tokens that the session should hold if nothing was forgotten.
        """
        forgotten = max(evaluated - len(self.session), 0)
        self.dropped += forgotten
        if text is not None:
            self.pieces.append(Piece(text, ids))
        return forgotten


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
