"""The line that the user types: several lines, history with search, completion of commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli.catalog import state_folder
from zigllm_cli.catalog.folders import PRIVATE_FILE, private_folder
from zigllm_cli.commands._output import colour_wanted

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

PROMPT = "> "
MORE = ". "

Complete = Callable[[str, str], Iterable[str]]
"""The words that may stand at an argument, from the command and what is typed of it."""


class Input:
    """Reads what the user says.

    Enter sends; Alt+Enter, a backslash at the end of the line, or three double quotes
    begin another line. Up and down, and Ctrl-R, go through what was typed before, also in
    earlier runs.

    Args:
        commands: names, and what each does.
        complete: their arguments.
        status: the line below.
    """

    def __init__(
        self, commands: dict[str, str], complete: Complete, status: Callable[[], str]
    ) -> None:
        self._session = _session(commands, complete, status)

    def read(self, default: str = "") -> str:
        """What was typed.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            EOFError: Ctrl-D.
        """
        # Typed in the prompt, Ctrl-C is a key. A signal comes while the prompt goes away, when
        # prompt_toolkit's own handler would lose it.
        return unwrapped(self._session.prompt(default=default, handle_sigint=False))


def _session(
    commands: dict[str, str], complete: Complete, status: Callable[[], str]
) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.output import ColorDepth, create_output

    stream = sys.stdout if sys.stdout.isatty() else sys.stderr
    return PromptSession(
        PROMPT,
        multiline=True,
        prompt_continuation=lambda width, number, wrapped: MORE,
        history=_history(),
        auto_suggest=AutoSuggestFromHistory(),
        completer=_completer(commands, complete),
        complete_while_typing=False,
        key_bindings=_keys(),
        bottom_toolbar=status,
        output=create_output(stream),
        color_depth=None if colour_wanted(stream) else ColorDepth.DEPTH_1_BIT,
    )


def _keys() -> Any:
    from prompt_toolkit.enums import DEFAULT_BUFFER
    from prompt_toolkit.filters import has_focus
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter", filter=has_focus(DEFAULT_BUFFER))
    @keys.add("c-j", filter=has_focus(DEFAULT_BUFFER))  # Enter, typed while the engine was loading
    def send(event: Any) -> None:
        if is_unfinished(event.current_buffer.text):
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def break_line(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def is_unfinished(text: str) -> bool:
    r"""Whether another line is to follow: after a backslash, or in a block of three quotes."""
    return text.endswith("\\") or text.count('"""') % 2 == 1


def unwrapped(text: str) -> str:
    r"""What was meant: without the backslashes at line ends and the quotes around a block."""
    stripped = text.strip()
    if stripped.startswith('"""') and stripped.endswith('"""') and len(stripped) >= 6:
        return stripped[3:-3].strip("\n")
    return text.replace("\\\n", "\n")


def _history() -> History:
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = state_folder() / "history"
    try:
        private_folder(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND, PRIVATE_FILE))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def _completer(commands: dict[str, str], complete: Complete) -> Any:
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.document import Document

    class Commands(Completer):
        def get_completions(self, document: Document, event: Any) -> Iterator[Completion]:
            text = document.text_before_cursor
            if not text.startswith("/") or "\n" in text:
                return
            name, space, argument = text.partition(" ")
            if not space:
                for known, meaning in commands.items():
                    if known.startswith(name):
                        yield Completion(known, -len(name), display_meta=meaning)
                return
            for word in complete(name, argument):
                yield Completion(word, -len(argument))

    return Commands()


def complete_path(start: str) -> list[str]:
    """Files and folders that begin with what was typed."""
    path = Path(start).expanduser()
    folder = path if start.endswith("/") else path.parent
    typed = start[: len(start) - len(Path(start).name)] if not start.endswith("/") else start
    name = "" if start.endswith("/") else path.name
    try:
        found = sorted(p for p in folder.iterdir() if p.name.startswith(name))
    except OSError:
        return []
    return [f"{typed}{p.name}{'/' if p.is_dir() else ''}" for p in found]
