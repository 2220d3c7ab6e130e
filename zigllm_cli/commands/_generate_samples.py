"""`--n-samples`: several texts for one prompt, which is evaluated once."""

from __future__ import annotations

import sys
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from zigllm_cli.commands._engine import prepare
from zigllm_cli.commands._generate_prompt import fit
from zigllm_cli.commands._generate_run import SCHEMA, Screen, Settings, steps_of
from zigllm_cli.commands._generate_stats import show_stats
from zigllm_cli.commands._output import print_json
from zigllm_cli.errors import INTERRUPTED

if TYPE_CHECKING:
    from zigllm_cli.engine.generation import Continuation
    from zigllm_cli.model import Model

TOGETHER = 8
"""Samples that are generated at a time."""


def run_samples(model: Model, prompt: str, settings: Settings, count: int, started: float) -> int:
    """Generate and show them in order; returns the exit code.

    The first has the seed that was given, the next one that plus one, and so on.
    """
    from zigllm_cli.engine.batching import Batching
    from zigllm_cli.engine.generation import Continuation
    from zigllm_cli.sampling import chain_for

    runner = model.runner(sequences=min(count, TOGETHER))
    ids = fit(
        model.prompt_ids(prompt),
        runner.context,
        how=settings.truncate,
        first=len(model.tokenizer.prefix),
        max_tokens=settings.max_tokens,
    )
    first = settings.sampling.chain().seed

    def make(number: int) -> Continuation:
        sampling = replace(settings.sampling, seed=(first + number) % (1 << 64))
        constraint = settings.make_constraint()
        chain = chain_for(model.tokenizer, sampling, prompt=len(ids), constraint=constraint)
        options = {"max_tokens": settings.max_tokens, "stop": settings.stop}
        return Continuation(model.tokenizer, chain, ids, **options)  # type: ignore[arg-type]

    prepare(runner, steps_of(len(ids), runner.batch, sequences=runner.sequences))
    batching = Batching(runner, settings.kept(model, ids))
    batching.timings.load = perf_counter() - started
    screen, code = Screen(silent=settings.json), 0
    done: list[Continuation] = []
    try:
        for continuation in batching.run(make(number) for number in range(count)):
            screen.show(_headline(len(done), count, continuation))
            screen.show((prompt if settings.echo else "") + continuation.text + "\n")
            done.append(continuation)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if settings.json:
        samples = [
            {
                "text": continuation.text,
                "ids": continuation.ids,
                "finish_reason": continuation.finish_reason,
                "seed": continuation.chain.seed,
            }
            for continuation in done
        ]
        head = {"schema": SCHEMA, "model": str(model.file.path)}
        shown = {"prompt": prompt} if settings.echo else {}
        print_json({**head, **shown, "prompt_ids": ids, "samples": samples})
    sys.stdout.flush()
    if settings.stats:
        show_stats(batching.timings, runner, seed=first, reason=None)
    return code


def _headline(number: int, count: int, continuation: Continuation) -> str:
    return f"--- {number + 1} of {count}, seed {continuation.chain.seed}\n"
