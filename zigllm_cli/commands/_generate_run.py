"""One prompt: text to stdout as it comes, or one JSON document at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from zigllm_cli.commands._engine import prepare
from zigllm_cli.commands._generate_prompt import fit
from zigllm_cli.commands._generate_stats import memory, show_stats
from zigllm_cli.commands._output import print_json, printable_lines, write
from zigllm_cli.errors import INTERRUPTED

if TYPE_CHECKING:
    from zigllm_cli.engine.generation import Generation
    from zigllm_cli.model import Model
    from zigllm_cli.sampling import Sampling

SCHEMA = "zigllm.generate/1"


@dataclass(frozen=True)
class Settings:
    """How to go on from a prompt, and how to show it.

    Attributes:
        max_tokens: None for no limit.
        keep: tokens of the prompt that a context shift spares, all if below 0; None for no shift.
        truncate: how a prompt that is too long is cut; None refuses it.
    """

    sampling: Sampling
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    keep: int | None = None
    truncate: str | None = None
    echo: bool = False
    stats: bool = False
    json: bool = False

    def kept(self, model: Model, prompt: Sequence[int]) -> int | None:
        """Tokens that a context shift spares; those that the tokenizer adds come on top."""
        if self.keep is None or self.keep < 0:
            return None if self.keep is None else len(prompt)
        return min(self.keep + len(model.tokenizer.prefix), len(prompt))


class Screen:
    """stdout: raw in a pipe; in a terminal without anything that would command it."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._is_terminal = sys.stdout.isatty()

    def show(self, text: str) -> None:
        """Write at once."""
        if not self._silent:
            write(printable_lines(text) if self._is_terminal else text)
            sys.stdout.flush()

    def close(self) -> None:
        """In a terminal the shell's prompt begins on a line of its own."""
        if self._is_terminal:
            self.show("\n")


def run(model: Model, prompt: str, settings: Settings, started: float) -> int:
    """Generate and show; returns the exit code.

    Args:
        started: `perf_counter` when the command began, for the timings.
    """
    generation = begin(model, prompt, settings, started)
    screen = Screen(silent=settings.json)
    reason, code = None, 0
    try:
        if settings.echo:
            screen.show(prompt)
        for piece in generation:
            screen.show(piece)
    except KeyboardInterrupt:
        reason, code = "interrupted", INTERRUPTED
    screen.close()
    if settings.json:
        print_json(document(model, generation, prompt if settings.echo else None, reason))
    if settings.stats:
        continuation = generation.continuation
        show_stats(
            generation.timings,
            generation.session.runner,
            seed=continuation.chain.seed,
            reason=reason or generation.finish_reason,
        )
    return code


def begin(model: Model, prompt: str, settings: Settings, started: float) -> Generation:
    """The engine opened, its kernels compiled, and the prompt as tokens."""
    from zigllm_cli.engine.session import Session

    ids = model.prompt_ids(prompt)
    runner = model.runner()
    ids = fit(
        ids,
        runner.context,
        how=settings.truncate,
        first=len(model.tokenizer.prefix),
        max_tokens=settings.max_tokens,
    )
    generation = model.continue_from(
        Session(runner),
        ids,
        settings.sampling,
        max_tokens=settings.max_tokens,
        stop=settings.stop,
        keep=settings.kept(model, ids),
    )
    prepare(runner, steps_of(len(ids), runner.batch, sequences=1))
    generation.timings.load = perf_counter() - started
    return generation


def steps_of(prompt: int, batch: int, *, sequences: int) -> list[tuple[int, int]]:
    """The forms of steps that a prompt needs, and decoding up to so many sequences together."""
    whole, rest = divmod(prompt, batch)
    last = rest or min(batch, prompt)
    steps = [(last, 1), *((n, n) for n in range(1, sequences + 1))]
    return [(batch, 0), *steps] if whole and last != prompt else steps


def document(
    model: Model, generation: Generation, prompt: str | None, reason: str | None
) -> dict[str, Any]:
    """The JSON form; `prompt` stands in it only with --echo."""
    timings = generation.timings
    return {
        "schema": SCHEMA,
        "model": str(model.file.path),
        **({} if prompt is None else {"prompt": prompt}),
        "text": generation.text,
        "ids": generation.ids,
        "prompt_ids": generation.continuation.prompt,
        "finish_reason": reason or generation.finish_reason,
        "seed": generation.continuation.chain.seed,
        "timings": {
            **asdict(timings),
            "prefill_rate": timings.prefill_rate,
            "decode_rate": timings.decode_rate,
        },
        "memory": memory(generation.session.runner),
    }
