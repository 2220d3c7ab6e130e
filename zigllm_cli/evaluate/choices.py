"""Multiple choice: the answer whose tokens have the best mean log-probability is the model's.

The tokens that all texts of a task begin with are evaluated once; what follows is scored. This is
llama-perplexity's `acc_norm`; `acc` takes the sum instead of the mean. For winogrande only what
follows the choice counts, less the last token, unless that would be nothing; where a text has
three tokens or fewer behind the common beginning, the choice counts too. (There llama-perplexity
takes the second choice's first token from the wrong row of logits, which is not repeated here.)

Every task is evaluated by itself, so its figures do not depend on the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import fsum, sqrt

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.scoring import Scorer, Scores
from zigllm_cli.errors import InputError
from zigllm_cli.evaluate.choice_files import Choice
from zigllm_cli.evaluate.totals import Pair, share
from zigllm_cli.model import Model
from zigllm_cli.tokenizers import Tokenizer

FEW = 3
"""Tokens behind the common beginning up to which winogrande scores the choice as well."""

Z95 = 1.95996398454
"""Standard deviations of a 95 % interval."""


@dataclass(frozen=True)
class Question:
    """A task as tokens.

    Attributes:
        prefix: tokens that all texts begin with; at least one.
        endings: what follows in each; at least one token.
        scored: of each ending, the first token that counts and the one behind the last.
        right: numbers of the right texts.
    """

    prefix: tuple[int, ...]
    endings: tuple[tuple[int, ...], ...]
    scored: tuple[tuple[int, int], ...]
    right: frozenset[int]

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return len(self.prefix) + max(map(len, self.endings))


@dataclass(frozen=True)
class Answer:
    """What the model says.

    Attributes:
        means, sums: of the log-probabilities of each text's scored tokens.
        right: numbers of the right texts.
        choices: how many texts there were.
    """

    means: tuple[float, ...]
    sums: tuple[float, ...]
    right: frozenset[int]

    @property
    def choice(self) -> int:
        """The text with the best mean, the first one on ties."""
        return self.means.index(max(self.means))

    @property
    def is_right(self) -> bool:
        """By the mean."""
        return self.choice in self.right

    @property
    def is_right_by_sum(self) -> bool:
        """By the sum."""
        return self.sums.index(max(self.sums)) in self.right


def question(task: Choice, tokenizer: Tokenizer) -> Question:
    """A task's texts cut into tokens."""
    texts = [tokenizer.encode(text) for text in task.texts]
    least = min(map(len, texts)) - 1
    common = next(
        (at for at in range(least) if len({text[at] for text in texts}) > 1), max(least, 0)
    )
    if common < 1:
        raise InputError(
            f"the texts {task.texts[0][:40]!r} and so on have no token in common to begin with"
        )
    endings = tuple(tuple(text[common:]) for text in texts)
    scored = [(0, len(ending)) for ending in endings]
    if task.heads:
        scored = _behind_choices(task, endings, common, tokenizer)
    return Question(tuple(texts[0][:common]), endings, tuple(scored), task.right)


def _behind_choices(
    task: Choice, endings: Sequence[Sequence[int]], common: int, tokenizer: Tokenizer
) -> list[tuple[int, int]]:
    """Winogrande's scored tokens; ties of texts end at their last but one token."""
    skips = all(len(ending) > FEW for ending in endings)
    scored = []
    for head, ending in zip(task.heads, endings, strict=True):
        first = max(len(tokenizer.encode(head)) - common, 0) if skips else 0
        if first >= len(ending):
            first = 0
        scored.append((first, max(len(ending) - 1, first + 1)))
    return scored


class Examiner:
    """Asks a model.

    Args:
        model: as it was opened.
        questions: all that will be asked; they say how much room is wanted.
        ctx: most tokens of a text; None for the model's own.

    Raises:
        InputError: a text is longer.
    """

    def __init__(self, model: Model, questions: Sequence[Question], ctx: int | None) -> None:
        longest = max(question.longest for question in questions)
        known = ctx or model.file.hyperparameter("context_length")
        if isinstance(known, int) and longest > known:
            number = next(i for i, q in enumerate(questions, 1) if q.longest == longest)
            raise InputError(
                f"task {number} has a text of {longest} tokens, but the context is {known}; "
                "give a larger --ctx"
            )
        most = max(len(question.endings) for question in questions)
        self.runner = model.runner(longest, sequences=most)
        self._scorer = Scorer(self.runner, model.options.progress)

    def answers(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """The answer to each question."""
        return map(self._answer, questions)

    def _answer(self, question: Question) -> Answer:
        for slot in range(len(question.endings)):
            self.runner.truncate(slot, 0)
        first = self._first_tokens(question)
        rest = self._other_tokens(question)
        logs, at = [], 0
        for start, ending in zip(first.log_probs.tolist(), question.endings, strict=True):
            following = rest[at : at + len(ending) - 1]
            logs.append([start, *following])
            at += len(ending) - 1
        chosen = [row[low:high] for row, (low, high) in zip(logs, question.scored, strict=True)]
        sums = tuple(map(fsum, chosen))
        means = tuple(total / len(row) for total, row in zip(sums, chosen, strict=True))
        return Answer(means, sums, question.right)

    def _first_tokens(self, question: Question) -> Scores:
        """The beginning, which leaves the logits for each ending's first token."""
        logits = self.runner.step(Batch.of(question.prefix, 0, 0))
        for slot in range(1, len(question.endings)):
            self.runner.copy(0, slot)
        rows = logits.repeat(len(question.endings), axis=0)
        return self._scorer.score(rows, [ending[0] for ending in question.endings])

    def _other_tokens(self, question: Question) -> list[float]:
        """All endings but their last tokens, in one batch."""
        batch, targets, start = Batch([], [], [], []), list[int](), len(question.prefix)
        for slot, ending in enumerate(question.endings):
            batch.tokens += ending[:-1]
            batch.positions += range(start, start + len(ending) - 1)
            batch.sequences += [slot] * (len(ending) - 1)
            targets += ending[1:]
        if not targets:
            return []
        batch.outputs += range(len(batch.tokens))
        logits = self.runner.step(batch)
        found: list[float] = self._scorer.score(logits, targets).log_probs.tolist()
        return found


@dataclass
class Marks:
    """Counts of answers.

    Attributes:
        count: of questions.
        right, right_by_sum: of right answers.
        chance: sum of the shares that guessing would get.
    """

    count: int = 0
    right: int = 0
    right_by_sum: int = 0
    chance: float = 0.0

    def add(self, answer: Answer) -> None:
        """Take an answer in."""
        self.count += 1
        self.right += answer.is_right
        self.right_by_sum += answer.is_right_by_sum
        self.chance += len(answer.right) / len(answer.means)

    @property
    def accuracy(self) -> Pair:
        """Share of right answers by the mean, and its standard error."""
        return share(self.right, self.count)

    @property
    def interval(self) -> Pair:
        """The 95 % interval of the accuracy (Wilson 1927)."""
        n, part = self.count, self.right / self.count
        z = Z95**2 / n
        half = z * sqrt(n * (4 * part * (1 - part) + z)) / (2 * Z95)
        return (part + z / 2 - half) / (1 + z), (part + z / 2 + half) / (1 + z)
