"""How likely the model found each token of a text, and which others it considered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zigllm_cli.sampling import Choice


@dataclass(frozen=True)
class TokenLogprob:
    """A token with the natural logarithm of its probability, as the model gave it out.

    Attributes:
        top: ids and logarithms of the likeliest tokens in its place, the best first.
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class Logprobs:
    """A watcher of a chain that notes them down, before samplers change anything.

    Attributes:
        tokens: one per choice, an end token at the end included.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self.tokens: list[TokenLogprob] = []

    def __call__(self, choice: Choice) -> None:
        everything = choice.stages[0][1]
        logs = everything.log_probabilities()
        best = everything.top(self._top).ids.tolist() if self._top else []
        top = tuple((token, float(logs[token])) for token in best)
        self.tokens.append(TokenLogprob(choice.token, float(logs[choice.token]), top))
