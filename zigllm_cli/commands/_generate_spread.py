"""Many prompts on a Ray cluster: one is a unit of work, so its text is that of `--parallel 1`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from zigllm_cli.catalog import resolve
from zigllm_cli.commands._constraints import ConstraintOptions
from zigllm_cli.commands._engine import EngineRequest, open_model, prepare
from zigllm_cli.commands._generate_many import Line, make, result
from zigllm_cli.commands._generate_run import Settings, steps_of
from zigllm_cli.commands._options import chosen_model
from zigllm_cli.commands._output import write
from zigllm_cli.engine.batching import Batching
from zigllm_cli.errors import INTERRUPTED, UsageError

if TYPE_CHECKING:
    from zigllm_cli.cluster import Cluster


@dataclass(frozen=True)
class Order:
    """What every worker needs: the model, how to go on, and what texts must be like."""

    request: EngineRequest
    settings: Settings
    constraint: ConstraintOptions


def spread_many(order: Order, lines: Sequence[Line], cluster: Cluster) -> int:
    """Generate for all lines, each on some worker; returns the exit code."""
    from zigllm_cli.cluster import spread

    if order.settings.stats:
        raise UsageError("--stats measures this machine, and --ray works on others; leave one out")
    model = str(resolve(chosen_model(order.request.model)).absolute())
    portable = replace(order, request=replace(order.request, model=model))
    try:
        for found in spread(cluster, partial(_worker, portable), lines):
            write(json.dumps(found, ensure_ascii=False) + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _worker(order: Order, threads: int) -> Callable[[Line], dict[str, Any]]:
    """What a machine of the cluster does with a prompt."""
    model = open_model(replace(order.request, threads=threads))
    settings = replace(order.settings, make_constraint=order.constraint.maker(model.tokenizer))
    runner = model.runner()
    prepare(runner, steps_of(1, runner.batch, sequences=1))

    def work(line: Line) -> dict[str, Any]:
        continuation = make(model, line, settings, runner.context)
        batching = Batching(runner, settings.kept(model, [0] * runner.context))
        (done,) = batching.run([continuation])
        return result(line, done, settings)

    return work
