"""`zigllm inspect`: what a GGUF file holds, in one view at a time; or the same with other keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zigllm_cli.commands._options import JsonOption, ModelArgument, OutputOption, chosen_model
from zigllm_cli.errors import UsageError

VIEWS = "What to show instead of the summary"
EDITS = "A new file with other metadata"
EDIT = "--set, --unset and -o"


def inspect(
    model: ModelArgument = None,
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="[GLOB]",
            help="Only names that match, with --metadata, --tensors, --vocab or --diff.",
        ),
    ] = None,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="All keys.", rich_help_panel=VIEWS)
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="KEY", help="The value of one key, raw.", rich_help_panel=VIEWS
        ),
    ] = None,
    tensors: Annotated[
        bool, typer.Option("--tensors", help="All tensors.", rich_help_panel=VIEWS)
    ] = False,
    tensor: Annotated[
        str | None,
        typer.Option(
            "--tensor",
            metavar="NAME",
            help="The values of one tensor: statistics and a histogram.",
            rich_help_panel=VIEWS,
        ),
    ] = None,
    diff: Annotated[
        str | None,
        typer.Option(
            "--diff",
            metavar="OTHER",
            help="What differs from another model; exit code 1 if anything does.",
            rich_help_panel=VIEWS,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Look for everything that is wrong; exit code 1 if anything is.",
            rich_help_panel=VIEWS,
        ),
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="The chat template, raw.", rich_help_panel=VIEWS)
    ] = False,
    vocab: Annotated[
        bool,
        typer.Option("--vocab", help="All tokens: id, type, score, text.", rich_help_panel=VIEWS),
    ] = False,
    architectures: Annotated[
        bool,
        typer.Option(
            "--architectures",
            help="The architectures that zigllm runs; needs no MODEL.",
            rich_help_panel=VIEWS,
        ),
    ] = False,
    ctx: Annotated[
        int | None,
        typer.Option(
            "--ctx", metavar="N", min=1, help="Tokens of context that memory is computed for."
        ),
    ] = None,
    kv_type: Annotated[
        str | None,
        typer.Option("--kv-type", metavar="TYPE", help="Type of the KV cache: f16, q8_0, ..."),
    ] = None,
    json: JsonOption = False,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change or add a key; @FILE takes the value from a file. Repeatable.",
            rich_help_panel=EDITS,
        ),
    ] = None,
    type_name: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Type of the values of --set: str, u32, f32, bool, arr:str, ...",
            rich_help_panel=EDITS,
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset", metavar="KEY", help="Remove a key. Repeatable.", rich_help_panel=EDITS
        ),
    ] = None,
    output: OutputOption = None,
) -> int:
    """Look into a model file: what it is, what it holds, how much memory it needs.

    [bold]Examples[/bold]

      zigllm inspect model.gguf --ctx 8192

      zigllm inspect model.gguf --tensors 'blk.0.*'

      zigllm inspect model.gguf --diff other.gguf

      zigllm inspect model.gguf --set general.name="My model" -o new.gguf
    """
    from zigllm_cli.commands import _inspect_views as views
    from zigllm_cli.gguf import open_gguf

    sets, unset = sets or [], unset or []
    chosen = {
        "--metadata": metadata and key is None,
        "--key": key is not None,
        "--tensors": tensors,
        "--tensor": tensor is not None,
        "--diff": diff is not None,
        "--check": check,
        "--template": template,
        "--vocab": vocab,
        "--architectures": architectures,
        EDIT: bool(sets or unset or output),
    }
    view = _only_view(chosen)
    _refuse_misfits(view, pattern, ctx is not None or kv_type is not None, type_name, sets)
    if view == "--architectures":
        if model is not None:
            raise UsageError(f"--architectures is about zigllm, not about {model}: leave that out")
        views.architectures_view(as_json=json)
        return 0
    path = _path(model)
    if view == "--check":
        return views.check_view(path, as_json=json)
    file = open_gguf(path)
    if view == "--diff":
        return views.diff_view(file, str(diff), pattern, as_json=json)
    if view == EDIT:
        views.edit_view(file, sets, unset, type_name, output, as_json=json)
    elif view == "--metadata":
        views.metadata_view(file, pattern, as_json=json)
    elif view == "--key":
        views.key_view(file, str(key), as_json=json)
    elif view == "--tensors":
        views.tensors_view(file, pattern, as_json=json)
    elif view == "--tensor":
        views.tensor_view(file, str(tensor), as_json=json)
    elif view == "--template":
        views.template_view(file, as_json=json)
    elif view == "--vocab":
        views.vocabulary_view(file, pattern, as_json=json)
    else:
        views.summary_view(file, ctx, kv_type, as_json=json)
    return 0


def _only_view(chosen: dict[str, bool]) -> str:
    names = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(names) > 1:
        raise UsageError(f"{names[0]} and {names[1]} exclude each other; give one of them")
    return names[0] if names else ""


def _refuse_misfits(
    view: str, pattern: str | None, is_sized: bool, type_name: str | None, sets: list[str]
) -> None:
    """Options that would have no effect are mistakes."""
    if pattern is not None and view not in ("--metadata", "--tensors", "--vocab", "--diff"):
        raise UsageError(
            f"{pattern!r} would be a pattern for --metadata, --tensors, --vocab or --diff; "
            "to compare two models use --diff OTHER"
        )
    if is_sized and view:
        raise UsageError(f"--ctx and --kv-type belong to the summary, not to {view}")
    if type_name is not None and not sets:
        raise UsageError("--type is the type of a value of --set; give --set KEY=VALUE too")


def _path(model: str | None) -> Path:
    from zigllm_cli.catalog import resolve

    return resolve(chosen_model(model))
