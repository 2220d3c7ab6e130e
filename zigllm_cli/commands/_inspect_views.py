"""The views of `zigllm inspect`: each asks the library one question and prints the answer.

Imports stand inside the functions, so that a view loads only what it needs.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from zigllm_cli.commands._output import human_bytes, print_json, progress_bar, talk
from zigllm_cli.errors import InputError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from zigllm_cli.gguf import GGUFFile


def summary_view(file: GGUFFile, ctx: int | None, kv_type: str | None, *, as_json: bool) -> None:
    """The screen of facts."""
    from zigllm_cli.inspection.formats import document
    from zigllm_cli.inspection.summary import summarise

    summary = summarise(file, ctx, kv_type)
    if as_json:
        print_json(document("summary", summary))
        return
    from zigllm_cli.commands._inspect_summary import show_summary

    show_summary(summary, memory_wanted=ctx is not None or kv_type is not None)


def architectures_view(*, as_json: bool) -> None:
    """The table of what can be run."""
    from zigllm_cli.commands._inspect_lists import show_list
    from zigllm_cli.inspection.architectures import architecture_rows
    from zigllm_cli.inspection.formats import document

    rows = architecture_rows()
    if as_json:
        print_json(document("architectures", {"architectures": [asdict(row) for row in rows]}))
        return
    headers = ("architecture", "models", "norm", "positions", "kind")
    cells = [(row.name, row.models, row.norm, row.positions, row.kind) for row in rows]
    show_list(cells, headers, ("cyan", "", "dim", "dim", "dim"))


def metadata_view(file: GGUFFile, pattern: str | None, *, as_json: bool) -> None:
    """The list of keys."""
    from zigllm_cli.commands._inspect_lists import show_metadata
    from zigllm_cli.inspection.formats import document
    from zigllm_cli.inspection.listing import metadata_rows

    rows = metadata_rows(file, pattern)
    if as_json:
        print_json(document("metadata", {"metadata": [asdict(row) for row in rows]}))
    else:
        show_metadata(rows)


def key_view(file: GGUFFile, key: str, *, as_json: bool) -> None:
    """One value, raw."""
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


def tensors_view(file: GGUFFile, pattern: str | None, *, as_json: bool) -> None:
    """The list of tensors; their sum on stderr."""
    from zigllm_cli.commands._inspect_lists import show_tensors, tensors_line
    from zigllm_cli.inspection.formats import document
    from zigllm_cli.inspection.listing import tensor_rows

    rows = tensor_rows(file, pattern)
    if as_json:
        print_json(document("tensors", {"tensors": [asdict(row) for row in rows]}))
        return
    show_tensors(rows, shards=len(file.paths) > 1)
    talk(tensors_line(rows))


def tensor_view(file: GGUFFile, name: str, *, as_json: bool) -> None:
    """Statistics and histogram of one tensor."""
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


def template_view(file: GGUFFile, *, as_json: bool) -> None:
    """The chat template, raw."""
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


def vocabulary_view(file: GGUFFile, pattern: str | None, *, as_json: bool) -> None:
    """The list of tokens."""
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


def check_view(path: Path, *, as_json: bool) -> int:
    """All findings about the file at `path`; returns the exit code."""
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


def diff_view(file: GGUFFile, other: str, pattern: str | None, *, as_json: bool) -> int:
    """What differs from `other`; returns the exit code."""
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


def edit_view(
    file: GGUFFile,
    sets: list[str],
    unset: list[str],
    type_name: str | None,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write a copy with other metadata to `output`."""
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
