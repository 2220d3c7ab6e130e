"""`zigllm perplexity`: how well a model predicts a text, beside others and beside a base model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zigllm_cli.atomic import check_output
from zigllm_cli.catalog import resolve
from zigllm_cli.commands import _perplexity_rules as rules
from zigllm_cli.commands._engine import (
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
)
from zigllm_cli.commands._options import FileOption, JsonOption, ModelOption, OutputOption
from zigllm_cli.commands._output import talk
from zigllm_cli.commands._perplexity_rules import Cut, Form
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.cluster import Cluster

WINDOWS = "Which tokens are scored"
BASE = "Against a base model"
SEVERAL = "Several models"
CHOICE = "Multiple choice"
LONG = "Long runs, and more than one machine"


def perplexity(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]",
            help="A text file; default or -: standard input. With --compare the models come "
            "before it, with --merge these are the parts.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    file: FileOption = None,
    json: JsonOption = False,
    output: OutputOption = None,
    per_token: Annotated[
        Path | None,
        typer.Option(
            "--per-token",
            metavar="FILE",
            help="Token, log-probability and rank of each scored token, as .jsonl or .npz.",
        ),
    ] = None,
    ctx: Annotated[
        int | None,
        typer.Option(
            "--ctx",
            "-c",
            metavar="N",
            min=0,
            help="Tokens of a chunk, of which the second half is scored; 0: as many as the model "
            "was trained with. Default: 512, or less where the model was trained with less.",
            rich_help_panel=WINDOWS,
        ),
    ] = None,
    chunks: Annotated[
        int | None,
        typer.Option("--chunks", metavar="N", help="The first N alone.", rich_help_panel=WINDOWS),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            "--stride",
            "--ppl-stride",
            metavar="N",
            help="Overlapping windows of --ctx, N tokens apart; the last N of each are scored.",
            rich_help_panel=WINDOWS,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            metavar="N",
            help="Windows of N tokens that overlap by --overlap: every token is scored once.",
            rich_help_panel=WINDOWS,
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            "--overlap",
            metavar="M",
            help="Tokens that a window has in common with the one before (default: half).",
            rich_help_panel=WINDOWS,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL|LOGITS",
            help="Compare with this model, or with saved logits: KL divergence and more.",
            rich_help_panel=BASE,
        ),
    ] = None,
    kl_divergence: Annotated[
        bool,
        typer.Option(
            "--kl-divergence",
            help="The same comparison; the base is named by --base.",
            rich_help_panel=BASE,
        ),
    ] = False,
    save_logits: Annotated[
        Path | None,
        typer.Option(
            "--save-logits",
            "--save-all-logits",
            metavar="FILE",
            help="Save log-probabilities for a later --base, in llama-perplexity's format.",
            rich_help_panel=BASE,
        ),
    ] = None,
    kl_divergence_base: Annotated[
        str | None, typer.Option("--kl-divergence-base", hidden=True)
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="MODEL MODEL ... TEXT: a table and a chart; the first model is the base.",
            rich_help_panel=SEVERAL,
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="With --compare: size against perplexity as .png or .svg.",
            rich_help_panel=SEVERAL,
        ),
    ] = None,
    dark: Annotated[
        bool, typer.Option("--dark", help="A plot for dark pages.", rich_help_panel=SEVERAL)
    ] = False,
    hellaswag: Annotated[
        bool,
        typer.Option(
            "--hellaswag",
            help="TEXT has six lines a task: context, answer (0 to 3), four endings.",
            rich_help_panel=CHOICE,
        ),
    ] = False,
    winogrande: Annotated[
        bool,
        typer.Option(
            "--winogrande",
            help="TEXT is CSV: index, sentence with _, two choices, answer (1 or 2).",
            rich_help_panel=CHOICE,
        ),
    ] = False,
    multiple_choice: Annotated[
        bool,
        typer.Option(
            "--multiple-choice",
            help="TEXT is llama-perplexity's binary file, or JSON lines with prompt, choices "
            "and answer (a number from 0, or the choice).",
            rich_help_panel=CHOICE,
        ),
    ] = False,
    tasks: Annotated[
        int | None,
        typer.Option(
            "--tasks",
            "--hellaswag-tasks",
            "--winogrande-tasks",
            "--multiple-choice-tasks",
            metavar="N",
            min=1,
            help="N of the tasks, drawn as llama-perplexity draws them.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="FILE",
            help="Keep what is done in FILE, and go on from there when run again.",
            rich_help_panel=LONG,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Every N-th chunk alone, beginning with the I-th; -o FILE takes its figures.",
            rich_help_panel=LONG,
        ),
    ] = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Put the parts of all shards together: the same result as in one run.",
            rich_help_panel=LONG,
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS|local",
            help="Work on a Ray cluster that can read the model's path.",
            rich_help_panel=LONG,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="Workers of the cluster; default: one per machine.",
            rich_help_panel=LONG,
        ),
    ] = None,
    threads: ThreadsOption = None,
    kv_type: KvTypeOption = "f16",
    rope_scaling: RopeScalingOption = None,
    rope_scale: RopeScaleOption = None,
    rope_freq_base: RopeBaseOption = None,
    override_kv: OverrideOption = None,
    no_mmap: NoMmapOption = False,
    mlock: MlockOption = False,
    lora: LoraOption = None,
) -> None:
    """How well a model predicts a text: e to the mean of -ln p over the scored tokens.

    The windows are llama-perplexity's, so the figures can be compared with its own.

    [bold]Examples[/bold]

      zigllm perplexity -m model.gguf wiki.test.raw

      zigllm perplexity -m q4.gguf --base f16.gguf wiki.test.raw

      zigllm perplexity --compare f16.gguf q8.gguf q4.gguf wiki.test.raw --plot sizes.svg

      zigllm perplexity -m model.gguf --hellaswag hellaswag_val_full.txt --tasks 400

      zigllm perplexity -m model.gguf big.txt --shard 2/8 -o part2.json

      zigllm perplexity --merge part*.json
    """
    choice = _only(hellaswag=hellaswag, winogrande=winogrande, multiple_choice=multiple_choice)
    mode = _only(compare=compare, merge=merge, **{choice: True} if choice else {}) or "text"
    given = {
        "--model": model is not None,
        "--ctx": ctx is not None,
        "--per-token": per_token is not None,
        "--output": output is not None,
        "--chunks": chunks is not None,
        "--stride": stride is not None,
        "--window": window is not None,
        "--overlap": overlap is not None,
        "--base": base is not None,
        "--kl-divergence": kl_divergence or kl_divergence_base is not None,
        "--save-logits": save_logits is not None,
        "--plot": plot is not None,
        "--dark": dark,
        "--tasks": tasks is not None,
        "--state": state is not None,
        "--shard": shard is not None,
        "--ray": ray is not None,
        "--workers": workers is not None,
    }
    rules.check(mode, {name for name, is_given in given.items() if is_given})
    request = EngineRequest(
        *(model, threads, None, kv_type, override_kv or ()),
        *(rope_scaling, rope_scale, rope_freq_base, no_mmap, mlock),
        lora=lora or (),
    )
    if kl_divergence_base is not None and not kl_divergence:
        save_logits = save_logits or Path(kl_divergence_base)
    else:
        base = base or kl_divergence_base
    words = list(arguments or [])
    for path in (output, per_token, save_logits, plot):
        if path is not None:
            check_output(path, [*words, file, *(name and resolve(name) for name in (model, base))])
    if mode == "merge":
        from zigllm_cli.commands._perplexity_merge import merge_parts

        merge_parts([Path(word) for word in words], per_token, Form(json, output))
        return
    cut = Cut(ctx, stride, window, overlap, chunks)
    if mode == "compare":
        from zigllm_cli.commands._perplexity_compare import compare_models

        models, measure = rules.models_and_text(words, file)
        compare_models(models, measure, request, cut, Form(json, output), plot, dark=dark)
        return
    text = rules.text_of(words, file)
    if choice:
        from zigllm_cli.commands._perplexity_choices import run_choices

        run_choices(choice, request, text, tasks, ctx, Form(json, output))
        return
    if kl_divergence and base is None:
        raise UsageError("--kl-divergence needs a base to compare with; name it with --base")
    from zigllm_cli.commands._perplexity_report import report
    from zigllm_cli.commands._perplexity_run import Task, run

    task = Task(
        request,
        text,
        cut,
        base=base,
        shard=rules.shard_of(shard),
        per_token=per_token,
        state=state,
        part=output if shard is not None else None,
        save_logits=save_logits,
        cluster=None if ray is None else _cluster(ray, workers, threads),
    )
    report(run(task), Form(json, None if shard is not None else output))


def _only(**chosen: bool) -> str:
    """The one that was chosen, or nothing.

    Raises:
        UsageError: several were.
    """
    names = [name.replace("_", "-") for name, is_chosen in chosen.items() if is_chosen]
    if len(names) > 1:
        raise UsageError(f"--{names[0]} and --{names[1]} exclude each other; give one of them")
    return names[0] if names else ""


def _cluster(address: str, workers: int | None, threads: int | None) -> Cluster:
    from zigllm_cli.cluster import Cluster

    return Cluster(address, workers, threads, talk)
