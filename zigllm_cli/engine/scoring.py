"""Log-probabilities and divergences of rows of logits, by the engine's own threads.

NumPy takes 40 ms for 256 rows of a 32,000 token vocabulary, single-threaded and through four
arrays of their size; the kernels read each row twice where it stands.

    scorer = Scorer(runner)
    scores = scorer.score(runner.step_in_place(batch), targets)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.runner import Runner, Table
from zigllm_cli.jit import Kernel, compile_missing
from zigllm_cli.kernels.log_softmax import ROW_WORDS
from zigllm_cli.plan.lowering.call import Call, float_word
from zigllm_cli.plan.memory import address

if TYPE_CHECKING:
    from zigllm_cli.engine.runner import Progress

LOG_SOFTMAX, DIVERGENCE = Kernel("log_softmax"), Kernel("divergence")

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

NO_FLOOR = -1e30
"""Below every log-probability but minus infinity."""


@dataclass(frozen=True)
class Scores:
    """What rows of logits say of one token each; arrays of one value per row.

    Attributes:
        log_probs: natural logarithms of the tokens' probabilities.
        ranks: 1 for a token that none is likelier than.
        tops: the likeliest token, the first of them on ties.
        log_sums: log-probability of any token of the row = logit - log_sum.
    """

    log_probs: Doubles
    ranks: Integers
    tops: Integers
    log_sums: Doubles

    def __len__(self) -> int:
        return len(self.log_probs)

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Rows of several, one behind the other."""
        names = ("log_probs", "ranks", "tops", "log_sums")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Scorer:
    """Runs the kernels on a runner's threads.

    Args:
        runner: whose threads work; its logits or any others can be scored.
        progress: told (done, all) while kernels are compiled.
    """

    def __init__(self, runner: Runner, progress: Progress | None = None) -> None:
        self._workers = runner.workers
        compile_missing((LOG_SOFTMAX, DIVERGENCE), progress)

    def score(self, logits: Floats, tokens: Sequence[int] | Integers) -> Scores:
        """Score one token per row.

        Args:
            logits: float32 [rows, vocabulary], rows without gaps inside.
            tokens: ids, one for each row, all within the vocabulary.
        """
        rows, width = logits.shape
        ids = np.ascontiguousarray(tokens, np.int64)
        assert ids.shape == (rows,), "one token for each row"
        assert not rows or 0 <= ids.min() <= ids.max() < width, "tokens of the vocabulary"
        out = np.zeros((rows, ROW_WORDS), np.int64)
        self._run(
            LOG_SOFTMAX,
            (address(logits), logits.strides[0], width, rows, address(ids), address(out)),
        )
        maxima, sums, own = out[:, :3].copy().view(np.float64).T
        logs = np.log(sums)
        return Scores(own - maxima - logs, out[:, 3] + 1, out[:, 4].copy(), maxima + logs)

    def divergence(
        self,
        base: Floats,
        base_log_sums: Doubles,
        logits: Floats,
        log_sums: Doubles,
        *,
        floor: float = NO_FLOOR,
    ) -> Doubles:
        """Kullback-Leibler divergence of each row from the base model's row, in nats.

        Args:
            base, logits: float32 [rows, vocabulary].
            base_log_sums, log_sums: of their rows, as `Scores` has them; 0 for log-probabilities.
            floor: base log-probabilities that are not above it are passed over.
        """
        assert base.shape == logits.shape
        rows, width = base.shape
        halves = np.empty((rows, 4), np.float32)
        for column, sums in ((0, base_log_sums), (2, log_sums)):
            halves[:, column] = sums
            halves[:, column + 1] = sums - halves[:, column]
        out = np.zeros(rows)
        self._run(
            DIVERGENCE,
            (
                *(address(base), base.strides[0], address(logits), logits.strides[0]),
                *(width, rows, address(halves), float_word(floor), address(out)),
            ),
        )
        return out

    def _run(self, kernel: Kernel, words: tuple[int, ...]) -> None:
        table = Table.of([Call(kernel, words, kernel.module)])
        self._workers.run(address(table.rows), 1)
