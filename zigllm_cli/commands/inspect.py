"""`zigllm inspect`: everything a GGUF file says, shows and hides; and a new file with other keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zigllm_cli.commands._options import JsonOption, ModelArgument, OutputOption, chosen_model
from zigllm_cli.commands._output import human_bytes, print_json, progress_bar, talk
from zigllm_cli.errors import InputError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from zigllm_cli.gguf import GGUFFile

VIEWS = "What to show instead of the summary"
EDITS = "A new file with other metadata"


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
        "--set, --unset and -o": bool(sets or unset or output),
    }
    view = _only_view(chosen)
    _refuse_misfits(view, pattern, ctx is not None or kv_type is not None, type_name, sets)
    path = _path(model)
    if view == "--check":
        return _check(path, as_json=json)
    from zigllm_cli.gguf import open_gguf

    file = open_gguf(path)
    if view == "--diff":
        return _diff(file, str(diff), pattern, as_json=json)
    if view == "--set, --unset and -o":
        _edit(file, sets, unset, type_name, output, as_json=json)
    elif view == "":
        _summary(file, ctx, kv_type, as_json=json)
    elif view == "--metadata":
        _metadata(file, pattern, as_json=json)
    elif view == "--key":
        _key(file, str(key), as_json=json)
    elif view == "--tensors":
        _tensors(file, pattern, as_json=json)
    elif view == "--tensor":
        _tensor(file, str(tensor), as_json=json)
    elif view == "--template":
        _template(file, as_json=json)
    else:
        _vocabulary(file, pattern, as_json=json)
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


def _summary(file: GGUFFile, ctx: int | None, kv_type: str | None, *, as_json: bool) -> None:
    from zigllm_cli.inspection.formats import document
    from zigllm_cli.inspection.summary import summarise

    summary = summarise(file, ctx, kv_type)
    if as_json:
        print_json(document("summary", summary))
        return
    from zigllm_cli.commands._inspect_summary import show_summary

    show_summary(summary)


def _metadata(file: GGUFFile, pattern: str | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from zigllm_cli.commands._inspect_lists import show_metadata
    from zigllm_cli.inspection.formats import document
    from zigllm_cli.inspection.listing import metadata_rows

    rows = metadata_rows(file, pattern)
    if as_json:
        print_json(document("metadata", {"metadata": [asdict(row) for row in rows]}))
    else:
        show_metadata(rows)


def _key(file: GGUFFile, key: str, *, as_json: bool) -> None:
    from zigllm_cli.commands._inspect_lists import show_value
    from zigllm_cli.inspection.formats import document, plain, type_text
    from zigllm_cli.inspection.listing import find_field

    field = find_field(file, key)
    if as_json:
        value = plain(field.value, field.type)
        content = {"key": key, "type": type_text(field), "value": value}
        print_json(document("key", content))
    else:
        show_value(field)


def _tensors(file: GGUFFile, pattern: str | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from zigllm_cli.commands._inspect_lists import show_tensors, tensors_line
    from zigllm_cli.inspection.formats import document
    from zigllm_cli.inspection.listing import tensor_rows

    rows = tensor_rows(file, pattern)
    if as_json:
        print_json(document("tensors", {"tensors": [asdict(row) for row in rows]}))
        return
    show_tensors(rows, shards=len(file.paths) > 1)
    talk(tensors_line(rows))


def _tensor(file: GGUFFile, name: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from zigllm_cli.inspection.formats import document
    from zigllm_cli.inspection.listing import find_tensor, tensor_row
    from zigllm_cli.inspection.statistics import statistics

    tensor = find_tensor(file, name)
    row = tensor_row(tensor)
    with progress_bar(f"reading {name}", 2 * tensor.nbytes) as progress:
        numbers = statistics(tensor, progress)
    if as_json:
        print_json(document("tensor", {**asdict(row), "statistics": asdict(numbers)}))
        return
    from zigllm_cli.commands._inspect_values import show_tensor

    show_tensor(row, numbers)


def _template(file: GGUFFile, *, as_json: bool) -> None:
    from zigllm_cli.commands._inspect_lists import show_raw
    from zigllm_cli.inspection.formats import document
    from zigllm_cli.inspection.summary import TEMPLATE_KEY, chat_templates

    text = file.metadata.get(TEMPLATE_KEY)
    if not isinstance(text, str):
        raise InputError(f"{file.path} has no chat template ({TEMPLATE_KEY})")
    if as_json:
        names = [template.name for template in chat_templates(file) if template.name]
        print_json(document("template", {"template": text, "others": names}))
    else:
        show_raw(text, newline=False)


def _vocabulary(file: GGUFFile, pattern: str | None, *, as_json: bool) -> None:
    from zigllm_cli.commands._inspect_lists import show_vocabulary, show_vocabulary_json
    from zigllm_cli.inspection.formats import SCHEMA
    from zigllm_cli.inspection.listing import matches
    from zigllm_cli.inspection.tokens import tokenizer_facts, vocabulary

    facts = tokenizer_facts(file)
    if facts is None or not facts.size:
        raise InputError(f"{file.path} has no vocabulary (tokenizer.ggml.tokens)")
    tokens = (token for token in vocabulary(file) if matches(token.text, pattern))
    if as_json:
        head = {"schema": SCHEMA, "view": "vocab", "model": facts.model, "size": facts.size}
        show_vocabulary_json(head, tokens)
    else:
        show_vocabulary(tokens)


def _check(path: Path, *, as_json: bool) -> int:
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.inspection.check import check, unreadable
    from zigllm_cli.inspection.formats import document

    try:
        file = open_gguf(path)
    except (InputError, UnsupportedError) as error:
        report, code = unreadable(str(path), error), error.exit_code
    else:
        size = sum(tensor.nbytes for tensor in file.tensors.values())
        with progress_bar("checking values", size) as progress:
            report = check(file, progress)
        code = 1 if report.problems else 0
    if as_json:
        print_json(document("check", report))
        return code
    from zigllm_cli.commands._inspect_values import show_report

    show_report(report)
    return code


def _diff(file: GGUFFile, other: str, pattern: str | None, *, as_json: bool) -> int:
    from zigllm_cli.catalog import resolve
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.inspection.diff import diff
    from zigllm_cli.inspection.formats import document

    second = open_gguf(resolve(other))
    size = sum(tensor.nbytes for tensor in file.tensors.values())
    with progress_bar("comparing tensors", size) as progress:
        difference = diff(file, second, pattern, progress)
    if as_json:
        print_json(document("diff", difference))
    else:
        from zigllm_cli.commands._inspect_values import show_diff

        show_diff(difference)
    return 0 if difference.equal else 1


def _edit(
    file: GGUFFile,
    sets: list[str],
    unset: list[str],
    type_name: str | None,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    from zigllm_cli.gguf.edit import copy_gguf, edited_entries
    from zigllm_cli.inspection.formats import document

    if output is None:
        raise UsageError("--set and --unset write a new file; name it with -o NEW.gguf")
    if not sets and not unset:
        raise UsageError("-o writes a file with changed metadata; say what with --set or --unset")
    entries = edited_entries(file, sets, unset, type_name)
    size = sum(tensor.nbytes for tensor in file.tensors.values())
    with progress_bar("copying tensors", size) as progress:
        paths = copy_gguf(file, output, entries, progress=progress)
    if as_json:
        print_json(document("edit", {"files": [str(path) for path in paths]}))
    written = sum(path.stat().st_size for path in paths)
    talk(f"wrote {output} ({human_bytes(written)})")
