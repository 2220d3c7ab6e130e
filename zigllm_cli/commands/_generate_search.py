"""`--beams` and `--contrastive-alpha`: texts that are searched for, without chance."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from zigllm_cli.commands._generate_prompt import fit
from zigllm_cli.commands._generate_run import SCHEMA, Screen, Settings
from zigllm_cli.commands._generate_stats import show_stats
from zigllm_cli.commands._output import print_json
from zigllm_cli.errors import INTERRUPTED, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from zigllm_cli.engine.generation import Continuation
    from zigllm_cli.engine.runner import Runner
    from zigllm_cli.model import Model


def run_search(model: Model, prompt: str, settings: Settings, started: float) -> int:
    """Search and show; returns the exit code.

    Raises:
        UsageError: with a constraint, or a context that shifts.
    """
    from zigllm_cli.engine.generation import Timings

    ways = settings.ways
    name = "--beams" if ways.beams else "--contrastive-alpha"
    if settings.make_constraint() is not None or settings.keep is not None:
        raise UsageError(f"{name} goes with no constraint and no --context-shift; leave them out")
    slots = 2 * ways.beams if ways.beams else ways.contrastive_k
    runner = model.runner(sequences=slots)
    ids = fit(
        model.prompt_ids(prompt),
        runner.context,
        how=settings.truncate,
        first=len(model.tokenizer.prefix),
        max_tokens=settings.max_tokens,
    )
    timings = Timings(load=perf_counter() - started)
    continuation = _continuation(model, ids, settings)
    screen, code, start = Screen(silent=settings.json), 0, perf_counter()
    extra: dict[str, Any] = {}
    try:
        if settings.echo:
            screen.show(prompt)
        for piece in _pieces(runner, continuation, settings, extra, model):
            screen.show(piece)
    except KeyboardInterrupt:
        code = INTERRUPTED
    timings.decode, timings.decode_tokens = perf_counter() - start, len(continuation.ids)
    screen.close()
    if settings.json:
        print_json(
            {
                "schema": SCHEMA,
                "model": str(model.file.path),
                **({"prompt": prompt} if settings.echo else {}),
                "text": continuation.text,
                "ids": continuation.ids,
                "prompt_ids": ids,
                "finish_reason": continuation.finish_reason,
                **extra,
            }
        )
    if settings.stats:
        show_stats(timings, runner, seed=None, reason=continuation.finish_reason)
    return code


def _continuation(model: Model, ids: Sequence[int], settings: Settings) -> Continuation:
    from zigllm_cli.engine.generation import Continuation

    return Continuation(
        model.tokenizer,
        settings.sampling.chain(),
        ids,
        max_tokens=settings.max_tokens,
        stop=settings.stop,
    )


def _pieces(
    runner: Runner,
    continuation: Continuation,
    settings: Settings,
    extra: dict[str, Any],
    model: Model,
) -> Iterable[str]:
    """The text as it comes; `extra` gets what is worth saying in JSON besides."""
    ways = settings.ways
    if ways.beams:
        return _beams(runner, continuation, settings, extra, model)
    from zigllm_cli.engine.contrastive import ContrastiveSearch

    assert ways.contrastive_alpha is not None
    return ContrastiveSearch(runner, ways.contrastive_k, ways.contrastive_alpha).run(continuation)


def _beams(
    runner: Runner,
    continuation: Continuation,
    settings: Settings,
    extra: dict[str, Any],
    model: Model,
) -> Iterator[str]:
    from zigllm_cli.engine.beams import beam_search
    from zigllm_cli.engine.generation import CONTEXT, END

    ways, ends = settings.ways, model.tokenizer.vocabulary.end_ids
    assert ways.beams
    found = beam_search(
        runner,
        continuation.prompt,
        beams=ways.beams,
        ends=ends,
        max_tokens=runner.context if settings.max_tokens is None else settings.max_tokens,
        length_penalty=ways.length_penalty,
    )
    extra["beams"] = [
        {
            "text": model.tokenizer.decode([*continuation.prompt, *beam.ids])[
                len(model.tokenizer.decode(continuation.prompt)) :
            ],
            "ids": list(beam.ids),
            "log_probability": beam.log_probability,
            "score": beam.score(ways.length_penalty),
            "ended": beam.is_ended,
        }
        for beam in found
    ]
    for token in found[0].ids:
        yield continuation.take(token)
        if continuation.finish_reason:
            return
    yield continuation.finish(END if found[0].is_ended else CONTEXT)
