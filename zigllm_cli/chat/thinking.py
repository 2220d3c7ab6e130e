"""What a model thinks before it answers, told from what it says, as text comes in pieces."""

from __future__ import annotations

from collections.abc import Iterator

THINK, SAY = "think", "say"

TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",
    "<mm:think>": "</mm:think>",
    "[THINK]": "[/THINK]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}
"""How models begin and end it; gpt-oss writes channels, and begins the next one in between."""

Part = tuple[str, str]
"""THINK or SAY, and a text."""


def opened_by(prompt: str) -> str | None:
    """The tag that a prompt ends with: the template itself lets the model begin by thinking."""
    end = prompt.rstrip()
    return next((tag for tag in TAGS if end.endswith(tag)), None)


class Reader:
    """Sorts pieces of text.

    A thought may only begin an answer: the same tag later on is something that is talked about.

    Args:
        inside: the tag that is open already.
    """

    def __init__(self, inside: str | None = None) -> None:
        self._close = TAGS[inside] if inside is not None else None
        self._begun = inside is not None
        self._held = ""
        self._drop_space = False

    def push(self, text: str) -> Iterator[Part]:
        """The parts that are certain now."""
        self._held += text
        yield from self._sorted(last=False)

    def close(self) -> Iterator[Part]:
        """What still waited, once nothing can follow."""
        yield from self._sorted(last=True)

    def _sorted(self, *, last: bool) -> Iterator[Part]:
        if not self._begun and not self._begin(last=last):
            return
        if self._close is not None:
            place = self._held.find(self._close)
            if place < 0:
                waiting = 0 if last else _overlap(self._held, (self._close,))
                yield from self._give(THINK, len(self._held) - waiting)
                return
            yield from self._give(THINK, place)
            self._held = self._held.removeprefix(self._close)
            self._close, self._drop_space = None, True
        yield from self._give(SAY, len(self._held))

    def _begin(self, *, last: bool) -> bool:
        """Whether it is decided by now how the answer begins."""
        start = self._held.lstrip()
        tag = next((tag for tag in TAGS if start.startswith(tag)), None)
        if tag is None and not last and any(tag.startswith(start) for tag in TAGS):
            return False
        if tag is not None:
            self._close, self._drop_space = TAGS[tag], True
            self._held = start.removeprefix(tag)
        self._begun = True
        return True

    def _give(self, kind: str, length: int) -> Iterator[Part]:
        text, self._held = self._held[:length], self._held[length:]
        if self._drop_space:  # what stands between a tag and the text
            text = text.lstrip()
            self._drop_space = not text
        if text:
            yield kind, text


def _overlap(text: str, wanted: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that begins one of `wanted`."""
    longest = min(max(map(len, wanted)) - 1, len(text))
    for count in range(longest, 0, -1):
        if any(word.startswith(text[-count:]) for word in wanted):
            return count
    return 0
