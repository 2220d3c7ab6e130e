"""`zigllm models`: the models that have names, new names, and models of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zigllm_cli.commands._options import JsonOption
from zigllm_cli.commands._output import (
    human_bytes,
    print_json,
    printable,
    progress_bar,
    stdout_console,
    talk,
)
from zigllm_cli.errors import ZigllmError

if TYPE_CHECKING:
    from zigllm_cli.catalog import ModelEntry

SCHEMA = "zigllm.models/1"

NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Default: the file's own name.")
]
DescriptionOption = Annotated[
    str, typer.Option("--description", metavar="TEXT", help="A line for the list.")
]

models = typer.Typer(
    name="models",
    rich_markup_mode="rich",
    add_completion=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@models.callback()
def list_models(ctx: typer.Context, json: JsonOption = False) -> None:
    """List the models that have names in models.toml, or give a model one.

    [bold]Examples[/bold]

      zigllm models

      zigllm models add ~/models/tinyllama.Q4_K_M.gguf --name tiny

      zigllm models pull bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M
    """
    if ctx.invoked_subcommand is not None:
        return
    from zigllm_cli.catalog import load_entries, search_places

    rows = [facts(name, entry) for name, entry in sorted(load_entries().items())]
    if json:
        print_json({"schema": SCHEMA, "models": rows})
    elif rows:
        show(rows)
    else:
        places = ", ".join(map(str, search_places()))
        talk(f"no models have names yet: zigllm models add PATH gives one (looked into {places})")


@models.command()
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A GGUF file, or its first shard.")],
    name: NameOption = None,
    description: DescriptionOption = "",
) -> None:
    """Give a model a name, in the user's models.toml."""
    from zigllm_cli.gguf import open_gguf

    open_gguf(path)  # an alias of something else would only fail later
    _added(path, name, description)


@models.command()
def pull(
    repo: Annotated[
        str, typer.Argument(metavar="USER/REPO[:QUANT]", help="Of the Hugging Face hub.")
    ],
    name: NameOption = None,
    description: DescriptionOption = "",
) -> None:
    """Download a model from the Hugging Face hub, and give it a name.

    An interrupted download goes on where it stopped. Files lie in the cache that other programs
    share (HF_HOME); HF_ENDPOINT names another hub, HF_TOKEN opens private ones.
    """
    from zigllm_cli.catalog import hub, load_entries

    repository, quant = hub.parse(repo)
    path = hub.pull(repository, quant, lambda name, size: progress_bar(f"checksum of {name}", size))
    for known, entry in load_entries().items():
        if name is None and entry.path.resolve() == path.resolve():
            talk(f"{path} is {known!r} already")
            return
    _added(path, name, description or f"from {repo}")


def _added(path: Path, name: str | None, description: str) -> None:
    from zigllm_cli.catalog.adding import add as write

    chosen, file = write(path, name, description)
    print(chosen)
    talk(f"{path} is {chosen!r} now, in {file}: zigllm chat -m {chosen}")


def facts(name: str, entry: ModelEntry) -> dict[str, Any]:
    """What the list says of a model; `size` in bytes and `type` where the file can be read."""
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.inspection.summary import file_type_name, quantisation_mix

    row: dict[str, Any] = {
        "name": name,
        "path": str(entry.path),
        "present": entry.path.is_file(),
        "size": None,
        "architecture": None,
        "type": None,
        "problem": None,
        "description": entry.description,
    }
    if not row["present"]:
        return {**row, "problem": "no such file"}
    try:
        file = open_gguf(entry.path)
    except (ZigllmError, OSError) as error:
        return {**row, "problem": str(error)}
    size = sum(header.layout.size for header in file.headers)
    kind = file_type_name(file, quantisation_mix(file)) or "?"
    return {**row, "size": size, "architecture": file.architecture, "type": kind}


def show(rows: list[dict[str, Any]]) -> None:
    """A table; a file that is missing is said so."""
    from rich.table import Table

    from zigllm_cli.commands._output import show as put

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "size", "type", "architecture", "description"):
        table.add_column(title, justify="right" if title == "size" else "left", overflow="fold")
    for row in rows:
        if row["problem"]:
            text = row["problem"] if row["present"] else f"no such file: {row['path']}"
            table.add_row(row["name"], "-", "-", "-", printable(text), style="dim")
        else:
            cells = (human_bytes(row["size"]), row["type"], row["architecture"])
            table.add_row(row["name"], *map(printable, cells), printable(row["description"]))
    put(stdout_console(), table)
