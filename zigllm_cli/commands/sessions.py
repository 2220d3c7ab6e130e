"""`zigllm sessions`: the conversations that are kept."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zigllm_cli.commands._options import JsonOption, OutputOption
from zigllm_cli.commands._output import print_json, printable, stdout_console, talk, write

if TYPE_CHECKING:
    from zigllm_cli.chat.log import Saved

SCHEMA = "zigllm.sessions/1"

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Its name, or how that begins.")]

sessions = typer.Typer(
    name="sessions",
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@sessions.callback()
def root(ctx: typer.Context) -> None:
    """List, show, export and remove conversations of 'zigllm chat'.

    [bold]Examples[/bold]

      zigllm sessions

      zigllm sessions show 20260102-1530

      zigllm sessions export 20260102-1530 -o talk.md
    """
    if ctx.invoked_subcommand is None:
        ls()


@sessions.command()
def ls(json: JsonOption = False) -> None:
    """List all conversations, the last one first."""
    from zigllm_cli.chat.log import every, folder

    found = list(every())
    if json:
        print_json({"schema": SCHEMA, "sessions": [facts(saved) for saved in found]})
    elif not found:
        talk(f"no conversations are kept yet (in {folder()})")
    else:
        _show_list(found)


@sessions.command()
def show(id_: IdArgument) -> None:
    """Print a conversation as Markdown; laid out in a terminal."""
    from zigllm_cli.chat.log import find
    from zigllm_cli.commands._chat_commands import exported
    from zigllm_cli.commands._output import printable_lines

    text = exported(find(id_).conversation.messages, markdown=True)
    console = stdout_console()
    if not console.is_terminal:
        write(text)
        return
    from zigllm_cli.commands._chat_markdown import ChatMarkdown

    console.print(ChatMarkdown(printable_lines(text)))


@sessions.command()
def export(
    id_: IdArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    md: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
) -> None:
    """Print a conversation as Markdown, or as JSON that /load reads; or write it to a file."""
    from zigllm_cli.atomic import atomic_file
    from zigllm_cli.chat.log import find
    from zigllm_cli.commands._chat_commands import exported

    markdown = md or not (json or (output is not None and output.suffix == ".json"))
    text = exported(find(id_).conversation.messages, markdown=markdown)
    if output is None:
        write(text)
        return
    with atomic_file(output) as file:
        file.write(text.encode("utf-8", "replace"))
    talk(f"written to {output}")


@sessions.command()
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Names, or how they begin.")],
) -> None:
    """Remove conversations, and what the engine remembers of them."""
    from zigllm_cli.chat.log import find, remove

    for saved in [find(name) for name in ids]:
        remove(saved)
        talk(f"{saved.id} is removed")


def facts(saved: Saved) -> dict[str, Any]:
    """What the list says of a conversation; times are ISO 8601, sizes bytes."""
    return {
        "id": saved.id,
        "title": saved.title,
        "messages": len(saved.conversation),
        "model": saved.head.get("model"),
        "created": saved.head.get("created"),
        "modified": datetime.fromtimestamp(saved.modified).astimezone().isoformat(),
        "kv_bytes": saved.kv_size,
    }


def _show_list(found: list[Saved]) -> None:
    from rich.table import Table

    from zigllm_cli.commands._output import show as put

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    table.add_column("messages", justify="right")
    table.add_column("model")
    table.add_column("first question")
    for saved in found:
        model = Path(str(saved.head.get("model", ""))).name
        title = saved.title if len(saved.title) <= 60 else f"{saved.title[:57]}..."
        count = f"{len(saved.conversation)}{' +kv' if saved.kv_size else ''}"
        table.add_row(saved.id, count, printable(model), printable(title))
    put(stdout_console(), table)
