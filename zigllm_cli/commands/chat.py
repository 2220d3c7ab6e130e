"""`zigllm chat`: a conversation with a model, in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

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
)
from zigllm_cli.commands._groups import flat
from zigllm_cli.commands._options import JsonOption, ModelOption
from zigllm_cli.commands._sampling import SamplingOptions
from zigllm_cli.errors import UsageError

TEMPLATE = "Template"
KEEPING = "Keeping"


@flat
def chat(
    *,
    sampling: SamplingOptions,
    model: ModelOption = None,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="The system prompt.")
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Attach a text file to the first question. Repeatable.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", "-n", metavar="N", help="Most tokens of an answer."),
    ] = None,
    context_shift: Annotated[
        bool,
        typer.Option(
            "--context-shift/--no-context-shift",
            help="When the context is full, forget the oldest messages but the system prompt, "
            "or stop.",
        ),
    ] = True,
    plain: Annotated[
        bool, typer.Option("--plain", help="Do not lay Markdown out; text as it comes.")
    ] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="Speed and tokens after each answer, on stderr.")
    ] = False,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            metavar="NAME|FILE|TEXT",
            help="chatml, llama3, none, ...; a file; or Jinja source, instead of the model's own.",
            rich_help_panel=TEMPLATE,
        ),
    ] = None,
    think: Annotated[
        str,
        typer.Option(
            "--think",
            metavar="show|hide|off",
            help="What to do with the thoughts of models that think; off asks them not to.",
            rich_help_panel=TEMPLATE,
        ),
    ] = "show",
    render: Annotated[
        Path | None,
        typer.Option(
            "--render",
            metavar="FILE.json",
            help="Print the prompt that these messages make, and exit; '-' is standard input.",
            rich_help_panel=TEMPLATE,
        ),
    ] = None,
    json: JsonOption = False,
    continue_: Annotated[
        bool,
        typer.Option(
            "--continue", "-C", help="Go on with the last conversation.", rich_help_panel=KEEPING
        ),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="ID",
            help="Go on with this conversation; see 'zigllm sessions'.",
            rich_help_panel=KEEPING,
        ),
    ] = None,
    keep_kv: Annotated[
        bool,
        typer.Option(
            "--keep-kv",
            help="Keep the engine's memory beside the conversation: going on takes seconds then.",
            rich_help_panel=KEEPING,
        ),
    ] = False,
    no_save: Annotated[
        bool,
        typer.Option(
            "--no-save", help="Write nothing of the conversation down.", rich_help_panel=KEEPING
        ),
    ] = False,
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
    """Talk with a model. Conversations are kept, and can be gone on with.

    In a terminal: /help for commands, Ctrl-C stops an answer, Ctrl-D leaves. From a pipe: one
    question, one answer.

    [bold]Examples[/bold]

      zigllm chat -m model.gguf --system "Answer briefly."

      zigllm chat -C

      git diff | zigllm chat -m tiny -f CONTRIBUTING.md > review.md

      zigllm chat -m model.gguf --render messages.json
    """
    if think not in ("show", "hide", "off"):
        raise UsageError(f"--think is show, hide or off, not {think!r}")
    if continue_ and resume is not None:
        raise UsageError("--continue is the last conversation, --resume a named one; give one")
    if keep_kv and no_save:
        raise UsageError("--keep-kv keeps what --no-save does not; leave one out")
    if json and render is None:
        raise UsageError(
            "--json is for --render; 'zigllm sessions export --json' has conversations"
        )

    from zigllm_cli.commands._chat_setup import Wishes, build, prompter_for

    request = EngineRequest(
        *(model, threads, ctx, kv_type, override_kv or ()),
        *(rope_scaling, rope_scale, rope_freq_base, no_mmap, mlock),
        lora=lora or (),
    )
    if render is not None:
        from zigllm_cli.commands._chat_render import messages_of
        from zigllm_cli.commands._chat_render import render as show
        from zigllm_cli.commands._engine import open_model

        messages = messages_of(render)
        show(prompter_for(open_model(request), template, think=think != "off"), messages, json=json)
        return 0
    from zigllm_cli.commands._chat_loop import Chat

    wishes = Wishes(
        request=request,
        sampling=sampling,
        system=system,
        template=template,
        think=think,
        max_tokens=None if max_tokens is not None and max_tokens < 0 else max_tokens,
        shift=context_shift,
        resume="" if continue_ else resume,
        save=not no_save,
        keep_kv=keep_kv,
        files=tuple(file or ()),
        markdown=not plain,
        stats=stats,
    )
    text = None if sys.stdin.isatty() else _piped()
    talk, log = build(wishes)
    run = Chat(talk, log, wishes)
    return run.run() if text is None else run.run_once(text)


def _piped() -> str:
    from zigllm_cli.commands._generate_prompt import read_prompt

    text = read_prompt(None, None, escapes=False)
    if not text.strip():
        raise UsageError("standard input is empty; pipe a question in, or start in a terminal")
    return text
