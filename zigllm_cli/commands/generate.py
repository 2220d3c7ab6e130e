"""`zigllm generate`: text that goes on from a prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from zigllm_cli.commands._constraints import ConstraintOptions
from zigllm_cli.commands._engine import (
    CtxOption,
    EngineRequest,
    KvTypeOption,
    LoraOption,
    MlockOption,
    NoMmapOption,
    OverrideOption,
    RopeBaseOption,
    RopeScaleOption,
    RopeScalingOption,
    ThreadsOption,
    open_model,
)
from zigllm_cli.commands._generate_options import WatchOptions, WayOptions
from zigllm_cli.commands._groups import flat
from zigllm_cli.commands._options import FileOption, JsonOption, ModelOption
from zigllm_cli.commands._output import talk
from zigllm_cli.commands._sampling import SamplingOptions
from zigllm_cli.errors import UsageError

LENGTH = "Where it ends"
MANY = "Many prompts"


@flat
def generate(
    *,
    prompt: Annotated[
        str | None, typer.Argument(help="The beginning; default: standard input.")
    ] = None,
    model: ModelOption = None,
    file: FileOption = None,
    prompt_option: Annotated[str | None, typer.Option("--prompt", "-p", hidden=True)] = None,
    escape: Annotated[
        bool,
        typer.Option("--escape", "-e", help=r"Read \n, \t, \xHH ... in prompt and stop strings."),
    ] = False,
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt first.")] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="Speed and memory, on stderr, at the end.")
    ] = False,
    json: JsonOption = False,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            "-n",
            metavar="N",
            help="Most tokens to generate; default: until an end token or a full context.",
            rich_help_panel=LENGTH,
        ),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            "--stop",
            metavar="TEXT",
            help="End before this text. Repeatable.",
            rich_help_panel=LENGTH,
        ),
    ] = None,
    context_shift: Annotated[
        bool,
        typer.Option(
            "--context-shift",
            help="Forget the oldest half when the context is full, and go on.",
            rich_help_panel=LENGTH,
        ),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="N",
            help="Tokens of the prompt that --context-shift spares; -1: all of it.",
            rich_help_panel=LENGTH,
        ),
    ] = None,
    truncate: Annotated[
        str | None,
        typer.Option(
            "--truncate",
            metavar="head|middle",
            help="Cut a prompt that is longer than the context, there.",
            rich_help_panel=LENGTH,
        ),
    ] = None,
    sampling: SamplingOptions,
    constraint: ConstraintOptions,
    ways: WayOptions,
    watching: WatchOptions,
    session: Annotated[
        Path | None,
        typer.Option(
            "--session",
            metavar="FILE",
            help="Keep tokens and KV cache in FILE, and evaluate nothing twice; an empty prompt "
            "goes on where it ended.",
        ),
    ] = None,
    n_samples: Annotated[
        int,
        typer.Option(
            "--n-samples",
            metavar="N",
            min=1,
            help="Texts for the same prompt, with seeds one after the other.",
            rich_help_panel=MANY,
        ),
    ] = 1,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            metavar="FILE.jsonl",
            help="A prompt on each line: a JSON text, or an object with prompt and maybe id, "
            "max_tokens, seed, stop. Results are JSON lines in the same order.",
            rich_help_panel=MANY,
        ),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel",
            metavar="N",
            min=1,
            help="Prompts of --prompts to run together (default 8).",
            rich_help_panel=MANY,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS|local",
            help="Spread --prompts over a Ray cluster that can read the model's path.",
            rich_help_panel=MANY,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="Workers of the cluster; default: one per machine.",
            rich_help_panel=MANY,
        ),
    ] = None,
    threads: ThreadsOption = None,
    ctx: CtxOption = None,
    kv_type: KvTypeOption = "f16",
    rope_scaling: RopeScalingOption = None,
    rope_scale: RopeScaleOption = None,
    rope_freq_base: RopeBaseOption = None,
    override_kv: OverrideOption = None,
    no_mmap: NoMmapOption = False,
    mlock: MlockOption = False,
    lora: LoraOption = None,
) -> int:
    """Go on from a prompt; stdout gets the continuation alone, as it comes.

    [bold]Examples[/bold]

      zigllm generate "Once upon a time" -m model.gguf -n 100

      zigllm generate -m model.gguf -f question.txt --temp 0 --stop "Q:" --stats

      zigllm generate -m model.gguf --prompts ask.jsonl > answers.jsonl

      zigllm generate -m model.gguf "Anna, 31:" --json-schema person.json --trace
    """
    started = perf_counter()
    if prompt is not None and prompt_option is not None:
        raise UsageError("the prompt is given twice; leave out --prompt")
    prompt = prompt_option if prompt is None else prompt
    if prompts is not None and (prompt is not None or file is not None):
        raise UsageError("--prompts has the prompts; leave out the others")
    if prompts is None and parallel is not None:
        raise UsageError("--parallel is for many prompts; give them with --prompts FILE.jsonl")
    if prompts is None and ray is not None:
        raise UsageError("--ray spreads many prompts; give them with --prompts FILE.jsonl")
    if ray is not None and parallel is not None:
        raise UsageError("--parallel is for this machine, --ray for others; give one of them")
    if ray is None and workers is not None:
        raise UsageError("--workers are those of --ray; name a cluster, or 'local'")
    if keep is not None and not context_shift:
        raise UsageError("--keep is for a context that shifts; give --context-shift too")

    from zigllm_cli.commands import _generate_many as many
    from zigllm_cli.commands._generate_prompt import read_prompt, unescape
    from zigllm_cli.commands._generate_run import Settings, run
    from zigllm_cli.commands._generate_samples import run_samples
    from zigllm_cli.commands._generate_search import run_search

    sampling.settle({})  # what is wrong with the options is said before anything is read
    ways.check(watching, session, n_samples, many=prompts is not None)
    lines = None if prompts is None else many.read_lines(prompts, escapes=escape)
    text = "" if lines is not None else read_prompt(prompt, file, escapes=escape)
    request = EngineRequest(
        *(model, threads, ctx, kv_type, override_kv or ()),
        *(rope_scaling, rope_scale, rope_freq_base, no_mmap, mlock),
        lora=lora or (),
    )
    opened = open_model(request)
    can_constrain = constraint.maker(opened.tokenizer)
    settings = Settings(
        sampling=sampling.settle(opened.file.metadata),
        max_tokens=None if max_tokens is not None and max_tokens < 0 else max_tokens,
        stop=tuple(map(unescape, stop or ())) if escape else tuple(stop or ()),
        keep=(keep or 0) if context_shift else None,
        truncate=truncate,
        echo=echo,
        stats=stats,
        json=json,
        ways=ways,
        watching=watching,
        session=session,
    )
    if lines is not None and ray is not None:
        from zigllm_cli.cluster import Cluster
        from zigllm_cli.commands._generate_spread import Order, spread_many

        order = Order(request, settings, constraint)
        return spread_many(order, lines, Cluster(ray, workers, threads, talk))
    settings = replace(settings, make_constraint=can_constrain)
    if lines is not None:
        return many.run_many(opened, lines, settings, parallel or 8, started)
    if n_samples > 1:
        return run_samples(opened, text, settings, n_samples, started)
    if ways.beams or ways.contrastive_alpha is not None:
        return run_search(opened, text, settings, started)
    return run(opened, text, settings, started)
