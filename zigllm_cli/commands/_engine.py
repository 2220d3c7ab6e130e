"""Opening a model for running it: the options that all such commands share, and the notices."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from zigllm_cli.commands._options import chosen_model
from zigllm_cli.commands._output import talk

if TYPE_CHECKING:
    from zigllm_cli.engine.runner import Runner
    from zigllm_cli.model import Model

PANEL = "Engine"

ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        "-t",
        metavar="N",
        min=1,
        help="Threads to run with; default: one for each physical core that may be used.",
        rich_help_panel=PANEL,
    ),
]
CtxOption = Annotated[
    int | None,
    typer.Option(
        "--ctx",
        "-c",
        metavar="N",
        min=0,
        help="Tokens of context; default (or 0): as many as the model was trained with.",
        rich_help_panel=PANEL,
    ),
]
KvTypeOption = Annotated[
    str,
    typer.Option(
        "--kv-type",
        metavar="TYPE",
        help="Type of the KV cache: f32, f16, bf16, q8_0 or q4_0.",
        rich_help_panel=PANEL,
    ),
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override-kv",
        metavar="KEY=TYPE:VALUE",
        help="Set metadata for this run; TYPE is int, float, bool or str. Repeatable.",
        rich_help_panel=PANEL,
    ),
]
LoraOption = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="FILE[=SCALE]",
        help="Run with a GGUF adapter, or SCALE times of it. Repeatable.",
        rich_help_panel=PANEL,
    ),
]
RopeScalingOption = Annotated[
    str | None,
    typer.Option(
        "--rope-scaling",
        metavar="KIND",
        help="none, linear or yarn, instead of what the file says.",
        rich_help_panel=PANEL,
    ),
]
RopeScaleOption = Annotated[
    float | None,
    typer.Option(
        "--rope-scale",
        metavar="N",
        help="How many times longer the context becomes.",
        rich_help_panel=PANEL,
    ),
]
RopeBaseOption = Annotated[
    float | None,
    typer.Option(
        "--rope-freq-base",
        metavar="N",
        help="Base of the rotary angles.",
        rich_help_panel=PANEL,
    ),
]
NoMmapOption = Annotated[
    bool,
    typer.Option(
        "--no-mmap",
        help="Read the file into memory instead of mapping it.",
        rich_help_panel=PANEL,
    ),
]
MlockOption = Annotated[
    bool,
    typer.Option("--mlock", help="Keep the weights from being swapped out.", rich_help_panel=PANEL),
]


@dataclass(frozen=True)
class EngineRequest:
    """What the engine's options say; fields are named like the options."""

    model: str | None
    threads: int | None = None
    ctx: int | None = None
    kv_type: str = "f16"
    override_kv: Sequence[str] = ()
    rope_scaling: str | None = None
    rope_scale: float | None = None
    rope_freq_base: float | None = None
    no_mmap: bool = False
    mlock: bool = False
    lora: Sequence[str] = ()


def open_model(request: EngineRequest) -> Model:
    """Open the model that was asked for, as it was asked for; its engine is built later."""
    from zigllm_cli.catalog import resolve
    from zigllm_cli.commands._overrides import override, parse_overrides, rope_overrides
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.model import EngineOptions, Model

    overrides = parse_overrides(request.override_kv)
    file = open_gguf(resolve(chosen_model(request.model)))
    rope = (request.rope_scaling, request.rope_scale, request.rope_freq_base)
    override(file, [*rope_overrides(file.architecture, *rope), *overrides])
    if request.no_mmap or request.mlock:
        from zigllm_cli.engine import residence

        if request.no_mmap:
            residence.read_whole(file)
        if request.mlock:
            residence.lock(file)
    if request.lora:
        from zigllm_cli.models.adapters import attach

        attach(file, request.lora)
    trained = file.hyperparameter("context_length")
    if request.ctx and isinstance(trained, int) and request.ctx > trained:
        talk(f"a context of {request.ctx} is beyond the {trained} tokens of the model's training")
    options = EngineOptions(
        threads=request.threads,
        ctx=request.ctx or None,
        kv_type=request.kv_type,
        progress=CompileNotice(),
    )
    return Model(file, options)


class CompileNotice:
    """Says on stderr that kernels are compiled, and in a terminal how far it is.

    Elsewhere it is said once in a process, however many notices there are.
    """

    TEXT = "compiling kernels for this CPU, once"
    said = False

    def __call__(self, done: int, count: int) -> None:
        if sys.stderr.isatty():
            line = f"{self.TEXT}: {done} of {count}" if done < count else ""
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        elif not CompileNotice.said:
            talk(f"{self.TEXT} ...")
            CompileNotice.said = True


def prepare(runner: Runner, steps: Iterable[tuple[int, int]]) -> None:
    """Compile what steps of so many (tokens, outputs) need, before text appears anywhere."""
    from zigllm_cli.jit import compile_missing
    from zigllm_cli.plan.lowering import Mode

    modes = {(Mode.of(tokens), Mode.of(outputs) if outputs else None) for tokens, outputs in steps}
    calls = [call for pair in sorted(modes, key=str) for call in runner.lowering.lower(*pair)]
    compile_missing([call.kernel for call in calls], CompileNotice())
