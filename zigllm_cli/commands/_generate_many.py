"""Many prompts: a file of JSON lines in, JSON lines out in the same order.

A line is a text, or an object with "prompt" and maybe "id", "max_tokens", "seed" and "stop",
which stand above the options. Everything is checked before the first prompt is run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from zigllm_cli.commands._engine import prepare
from zigllm_cli.commands._generate_prompt import fit, unescape
from zigllm_cli.commands._generate_run import Settings, steps_of
from zigllm_cli.commands._generate_stats import show_stats
from zigllm_cli.commands._output import write
from zigllm_cli.errors import INTERRUPTED, InputError, UsageError, unreadable

if TYPE_CHECKING:
    from zigllm_cli.engine.generation import Continuation
    from zigllm_cli.model import Model

KEYS = {
    "prompt": "a text",
    "id": "anything",
    "max_tokens": "a whole number of 0 or more",
    "seed": "a whole number of 0 or more",
    "stop": "a text or a list of texts",
}


@dataclass(frozen=True)
class Line:
    """One prompt with what it says about itself; None where it says nothing."""

    prompt: str
    id: Any = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None


def read_lines(path: Path, *, escapes: bool) -> list[Line]:
    """The prompts of a file; empty lines are passed over.

    Raises:
        InputError: unreadable, or a line is not what it should be; the message has its number.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: byte {error.start} is wrong") from None
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            parsed = _line(line, f"{path}, line {number}")
            lines.append(_unescaped(parsed) if escapes else parsed)
    return lines


def _line(text: str, where: str) -> Line:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not JSON; write a text in quotes or an object") from None
    if isinstance(value, str):
        return Line(value)
    if not isinstance(value, dict) or "prompt" not in value:
        raise InputError(f"{where}: neither a text nor an object with a 'prompt'")
    for key, item in value.items():
        if key not in KEYS:
            raise InputError(f"{where}: {key!r} is unknown; known are {', '.join(KEYS)}")
        if not _is_legal(key, item):
            raise InputError(f"{where}: {key} is {item!r}, but must be {KEYS[key]}")
    stop = value.get("stop")
    if stop is not None:
        value["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    return Line(**value)


def _is_legal(key: str, item: Any) -> bool:
    if key == "prompt":
        return isinstance(item, str)
    if key in ("max_tokens", "seed"):
        return item is None or (type(item) is int and item >= 0)
    if key == "stop":
        texts = item if isinstance(item, list) else [item]
        return item is None or all(isinstance(text, str) and text for text in texts)
    return True


def _unescaped(line: Line) -> Line:
    stop = None if line.stop is None else tuple(map(unescape, line.stop))
    return replace(line, prompt=unescape(line.prompt), stop=stop)


def run_many(
    model: Model, lines: Sequence[Line], settings: Settings, parallel: int, started: float
) -> int:
    """Generate for all lines, so many at a time; returns the exit code."""
    from zigllm_cli.engine.batching import Batching

    if settings.keep is not None and settings.keep < 0:
        raise UsageError("--keep -1 means one prompt's length; with --prompts give a number")
    runner = model.runner(sequences=max(min(parallel, len(lines)), 1))
    continuations = [make(model, line, settings, runner.context) for line in lines]
    forms = {len(continuation.prompt) for continuation in continuations}
    steps = {step for n in forms for step in steps_of(n, runner.batch, sequences=runner.sequences)}
    prepare(runner, steps)
    batching = Batching(runner, settings.kept(model, [0] * runner.context))
    batching.timings.load = perf_counter() - started
    code = 0
    try:
        for line, continuation in zip(lines, batching.run(continuations), strict=True):
            write(json.dumps(result(line, continuation, settings), ensure_ascii=False) + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    if settings.stats:
        show_stats(batching.timings, runner, seed=None, reason=None)
    return code


def make(model: Model, line: Line, settings: Settings, context: int) -> Continuation:
    """The continuation of one line."""
    from zigllm_cli.engine.generation import Continuation, check_length
    from zigllm_cli.sampling import chain_for

    limit = settings.max_tokens if line.max_tokens is None else line.max_tokens
    prefix = model.tokenizer.prefix
    ids = fit(
        model.prompt_ids(line.prompt),
        context,
        how=settings.truncate,
        first=len(prefix),
        max_tokens=limit,
    )
    check_length(len(ids), context)
    sampling = settings.sampling
    if line.seed is not None:
        sampling = replace(sampling, seed=line.seed)
    return Continuation(
        model.tokenizer,
        chain_for(
            model.tokenizer, sampling, prompt=len(ids), constraint=settings.make_constraint()
        ),
        ids,
        max_tokens=limit,
        stop=settings.stop if line.stop is None else line.stop,
    )


def result(line: Line, continuation: Continuation, settings: Settings) -> dict[str, Any]:
    """What is written for one line."""
    return {
        **({} if line.id is None else {"id": line.id}),
        **({"prompt": line.prompt} if settings.echo else {}),
        "text": continuation.text,
        "ids": continuation.ids,
        "prompt_tokens": len(continuation.prompt),
        "finish_reason": continuation.finish_reason,
        "seed": continuation.chain.seed,
    }
