"""Stop strings in text that comes in pieces."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.errors import UsageError


class StopMatcher:
    """Lets text through up to the first stop string, and never a part of one.

    What could be the beginning of a stop string waits until the text behind it decides. The stop
    string that is complete first wins, as if text came character by character: where pieces
    end makes no difference.

    Attributes:
        found: the stop string that was met, or None.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self.stops = tuple(stops)
        if "" in self.stops:
            raise UsageError("a stop string is empty; leave it out or give it some text")
        self.found: str | None = None
        self._held = ""

    def push(self, text: str) -> str:
        """The part of the text so far that can be shown now."""
        if self.found is not None:
            return ""
        if not self.stops:
            return text
        self._held += text
        matches = [(self._held.find(stop), stop) for stop in self.stops]
        ends = [(start + len(stop), start, stop) for start, stop in matches if start >= 0]
        if ends:
            _, start, self.found = min(ends)
            return self._release(start)
        return self._release(len(self._held) - self._waiting())

    def close(self) -> str:
        """What still waited, once nothing can follow."""
        return "" if self.found is not None else self._release(len(self._held))

    def _waiting(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max(map(len, self.stops)) - 1
        for count in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-count:]) for stop in self.stops):
                return count
        return 0

    def _release(self, count: int) -> str:
        shown, self._held = self._held[:count], self._held[count:]
        return shown
