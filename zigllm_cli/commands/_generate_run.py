"""One prompt: text to stdout as it comes, or one JSON document at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from zigllm_cli.commands._engine import prepare
from zigllm_cli.commands._generate_options import WatchOptions, WayOptions
from zigllm_cli.commands._generate_prompt import fit
from zigllm_cli.commands._generate_stats import memory, show_stats
from zigllm_cli.commands._generate_trace import Tracer
from zigllm_cli.commands._output import print_json, printable, printable_lines, talk, write
from zigllm_cli.errors import INTERRUPTED, UsageError

if TYPE_CHECKING:
    from zigllm_cli.engine.generation import Continuation, Generation
    from zigllm_cli.engine.logprobs import Logprobs
    from zigllm_cli.engine.session import Session
    from zigllm_cli.model import Model
    from zigllm_cli.sampling import Sampler, Sampling

SCHEMA = "zigllm.generate/1"


@dataclass(frozen=True)
class Settings:
    """How to go on from a prompt, and how to show it.

    Attributes:
        max_tokens: None for no limit.
        keep: tokens of the prompt that a context shift spares, all if below 0; None for no shift.
        truncate: how a prompt that is too long is cut; None refuses it.
        make_constraint: makes what each text must be like, or None.
        session: the file that tokens and KV cache are kept in.
    """

    sampling: Sampling
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    keep: int | None = None
    truncate: str | None = None
    echo: bool = False
    stats: bool = False
    json: bool = False
    make_constraint: Callable[[], Sampler | None] = lambda: None
    ways: WayOptions = field(default_factory=WayOptions)
    watching: WatchOptions = field(default_factory=WatchOptions)
    session: Path | None = None

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
    watching, chain = settings.watching, generation.continuation.chain
    tracer = _tracer(model, watching)
    logprobs = _logprobs(watching)
    chain.watchers += [watcher for watcher in (tracer, logprobs) if watcher is not None]
    owned = tracer is not None and tracer.owns_screen and sys.stdout.isatty()
    screen = Screen(silent=settings.json or watching.trace_json or owned)
    reason, code = None, 0
    with tracer or nullcontext():
        try:
            if settings.echo:
                screen.show(prompt)
            for piece in generation:
                screen.show(piece)
                if tracer is not None:
                    tracer.say(piece)
        except KeyboardInterrupt:
            reason, code = "interrupted", INTERRUPTED
        finally:
            if settings.session is not None:
                keep_session(generation, settings.session)
    if owned and not settings.json:
        screen = Screen(silent=False)
        screen.show((prompt if settings.echo else "") + generation.text)
    screen.close()
    if settings.json:
        shown = document(model, generation, prompt if settings.echo else None, reason)
        if logprobs is not None:
            shown["logprobs"] = logprob_entries(model, generation.continuation, logprobs)
        print_json(shown)
    elif logprobs is not None:
        show_logprobs(logprob_entries(model, generation.continuation, logprobs))
    if settings.stats:
        show_stats(
            generation.timings,
            generation.session.runner,
            seed=chain.seed,
            reason=reason or generation.finish_reason,
        )
    return code


def begin(model: Model, prompt: str, settings: Settings, started: float) -> Generation:
    """The engine opened, its kernels compiled, and the prompt as tokens."""
    from zigllm_cli.engine.drafting import ModelDrafter
    from zigllm_cli.engine.session import Session

    if settings.session is not None and not settings.session.parent.is_dir():
        raise UsageError(f"--session {settings.session}: there is no such folder; create it first")
    runner = model.runner()
    session = Session(runner)
    ids = _prompt_ids(model, prompt, settings, session)
    drafter = settings.ways.drafter(model)
    generation = model.continue_from(
        session,
        ids,
        settings.sampling,
        max_tokens=settings.max_tokens,
        stop=settings.stop,
        keep=settings.kept(model, ids),
        constraint=settings.make_constraint(),
        drafter=drafter,
    )
    ahead = 1 if drafter is None else 1 + settings.ways.draft_max
    steps = [*steps_of(len(ids), runner.batch, sequences=1), (ahead, ahead)]
    prepare(runner, steps)
    if isinstance(drafter, ModelDrafter):
        prepare(drafter.session.runner, steps)
    generation.timings.load = perf_counter() - started
    return generation


def _prompt_ids(model: Model, prompt: str, settings: Settings, session: Session) -> list[int]:
    """The prompt as tokens; an empty one goes on where a kept session ended."""
    if settings.session is not None and settings.session.exists():
        session.load(settings.session)
        if not prompt:
            return list(session.tokens)
    ids = model.prompt_ids(prompt)
    return fit(
        ids,
        session.runner.context,
        how=settings.truncate,
        first=len(model.tokenizer.prefix),
        max_tokens=settings.max_tokens,
    )


def keep_session(generation: Generation, path: Path) -> None:
    """Write tokens and KV cache, the last token chosen included if there is room for it."""
    session, tokens = generation.session, generation.continuation.tokens
    if session.tokens == tokens[:-1] and session.room:
        session.eval(tokens[-1:])
    if session.tokens:
        session.save(path)


def steps_of(prompt: int, batch: int, *, sequences: int) -> list[tuple[int, int]]:
    """The forms of steps that a prompt needs, and decoding up to so many sequences together."""
    whole, rest = divmod(prompt, batch)
    last = rest or min(batch, prompt)
    steps = [(last, 1), *((n, n) for n in range(1, sequences + 1))]
    return [(batch, 0), *steps] if whole and last != prompt else steps


# -------------------------------------------------------------------------- watching


def _tracer(model: Model, watching: WatchOptions) -> Tracer | None:
    if not watching.trace and not watching.trace_json:
        return None
    return Tracer(model.tokenizer, as_json=watching.trace_json)


def _logprobs(watching: WatchOptions) -> Logprobs | None:
    if watching.logprobs is None:
        return None
    from zigllm_cli.engine.logprobs import Logprobs

    return Logprobs(watching.logprobs)


def logprob_entries(
    model: Model, continuation: Continuation, logprobs: Logprobs
) -> list[dict[str, Any]]:
    """A JSON object for each token of the text."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = model.tokenizer.piece(token).decode("utf-8", "replace")
        return {"id": token, "text": text, "logprob": logprob}

    return [
        {**entry(token.id, token.logprob), "top": [entry(*other) for other in token.top]}
        for token in logprobs.tokens[: len(continuation.ids)]
    ]


def show_logprobs(entries: Sequence[dict[str, Any]]) -> None:
    """A line per token on stderr."""
    for entry in entries:
        words = [f"{entry['logprob']:8.3f}  {printable(entry['text'])!r:<16}"]
        words += [f"{printable(top['text'])!r} {top['logprob']:.3f}" for top in entry["top"]]
        talk("  ".join(words).rstrip())


# -------------------------------------------------------------------------- JSON


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
