"""The command line: which commands exist, and the one place where errors become sentences.

A command is a module in `zigllm_cli.commands` with a function of the same name; it is imported
only when it is called or listed, and itself imports what is heavy inside the function.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from zigllm_cli import __version__
from zigllm_cli.catalog import use_models_file
from zigllm_cli.commands._options import respell
from zigllm_cli.errors import CLOSED_PIPE, INTERRUPTED, ZigllmError, reason_of

COMMANDS = {
    "chat": "Talk with a model. Conversations are kept, and can be gone on with.",
    "generate": "Go on from a prompt; stdout gets the continuation alone, as it comes.",
    "embed": "Turn texts into vectors that are near each other where the texts mean the same.",
    "inspect": "Look into a model file: what it is, what it holds, how much memory it needs.",
    "tokenize": (
        "Turn text into token ids exactly as the model's own engine does, or ids into text."
    ),
    "models": "List the models that have names in models.toml, or give a model one.",
    "sessions": "List, show, export and remove conversations of 'zigllm chat'.",
    "convert": "Turn a model of another program into a GGUF file.",
    "quantize": (
        "Write a model in a smaller type: the bytes of llama.cpp's quantizer, in less time."
    ),
    "imatrix": (
        "Compute an importance matrix, which lets zigllm quantize put errors where they "
        "matter least."
    ),
    "bench": (
        "Measure tokens per second, as llama-bench does: mean and deviation over several runs."
    ),
    "perplexity": (
        "How well a model predicts a text: e to the mean of -ln p over the scored tokens."
    ),
    "train": "Train a small model on a text and write it as a GGUF file.",
    "warmup": (
        "Compile the kernels that a model needs on this CPU, so that it starts at once later."
    ),
}
"""In the order of `zigllm --help`, which shows these texts: the modules would take 60 ms."""

EPILOG = (
    "MODEL is a GGUF file, the first shard of a split one, an alias of models.toml, or "
    "[bold]builtin[/bold], the small model that comes with zigllm."
)

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class LazyCommands(TyperGroup):
    """Looks a subcommand up by importing the module of its name."""

    _listing = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help page, for which a command's name and text are enough."""
        self._listing = True
        super().format_help(ctx, formatter)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:
        """The command `name`, or None where there is none."""
        if name not in COMMANDS:
            return None
        if self._listing:
            return TyperCommand(name, help=COMMANDS[name])
        from zigllm_cli.commands._settings import ConfiguredCommand

        function = getattr(import_module(f"zigllm_cli.commands.{name}"), name)
        if isinstance(function, typer.Typer):  # a group of commands
            return get_command(function)
        command = typer.Typer(
            rich_markup_mode="rich", add_completion=False, context_settings=HELP_OPTIONS
        )
        command.command(name, cls=ConfiguredCommand)(function)
        return get_command(command)

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand; a closed stdout is kept from typer, which would exit with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return CLOSED_PIPE


app = typer.Typer(
    cls=LazyCommands,
    name="zigllm",
    rich_markup_mode="rich",
    context_settings=HELP_OPTIONS,
    epilog=EPILOG,
)


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", "-V", help="Print the version and exit."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of errors."),
    models: str = typer.Option(
        "", "--models", metavar="FILE", help="A models.toml to look into before all others."
    ),
) -> None:
    """Run, inspect and tokenize with GGUF language models on the CPU."""


def main(args: list[str] | None = None) -> None:
    """Run the command line `args` (default: the process's own) and exit."""
    words = list(sys.argv[1:] if args is None else args)
    if words in (["--version"], ["-V"]):
        print(f"zigllm {__version__}")
        return
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run one command line and return its exit code."""
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"] or ["--help"]
    try:
        words, models = taken_out(words, "--models")
        use_models_file(None if models is None else Path(models).expanduser())
        result = get_command(app)(args=respell(words), prog_name="zigllm", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except BrokenPipeError:
        code = CLOSED_PIPE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if debug:
            raise
        code = report(error)
    if code == CLOSED_PIPE:
        # What is still buffered has no reader; flushing it at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def taken_out(words: list[str], option: str) -> tuple[list[str], str | None]:
    """A command line without an option that may stand anywhere, and the option's value."""
    end = words.index("--") if "--" in words else len(words)
    for place, word in enumerate(words[:end]):
        if word.startswith(f"{option}="):
            return words[:place] + words[place + 1 :], word.partition("=")[2]
        if word == option and place + 1 < end:
            return words[:place] + words[place + 2 :], words[place + 1]
    return words, None


def report(error: Exception) -> int:
    """Say in one sentence on stderr what went wrong; returns the exit code."""
    if isinstance(error, ZigllmError):
        text, code = str(error), error.exit_code
    elif hasattr(error, "format_message"):  # the parser's own errors
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "zigllm"
        text = f"{error.format_message().rstrip('.')}; see '{where} --help'"
        code = getattr(error, "exit_code", 2)
    elif isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        text, code = f"cannot access{where}: {reason_of(error)}", 3
    elif isinstance(error, MemoryError):
        text, code = "out of memory; try a smaller model or input", 5
    else:
        text = f"unexpected {type(error).__name__}: {error}; --debug shows the traceback"
        code = 1
    print(f"zigllm: {' '.join(text.split())}", file=sys.stderr)
    return code
