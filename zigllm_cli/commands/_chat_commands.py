"""What can be said to the chat itself: /help, /regen, /set temp=0.7 ... One function for each."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from zigllm_cli.atomic import atomic_file
from zigllm_cli.catalog import complete_model
from zigllm_cli.chat.conversation import SYSTEM, check_messages
from zigllm_cli.commands._chat_input import complete_path
from zigllm_cli.commands._chat_screen import HIDE, OFF, SHOW, meter
from zigllm_cli.commands._chat_setup import attachment, open_engine, prompter_for
from zigllm_cli.commands._output import columns, printable, printable_lines, talk
from zigllm_cli.errors import InputError, UsageError, unreadable

if TYPE_CHECKING:
    from zigllm_cli.commands._chat_loop import Chat

SAMPLING_ALIASES = {"temp": "temperature", "max-tokens": "max_tokens", "n": "max_tokens"}


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        run: gets the chat and what stands behind the name.
        usage: what may stand there.
        meaning: a line for /help.
    """

    run: Callable[[Chat, str], None]
    usage: str
    meaning: str


class Leave(Exception):  # noqa: N818
    """The conversation is over."""


COMMANDS: dict[str, Command] = {}


def command(
    usage: str, meaning: str
) -> Callable[[Callable[[Chat, str], None]], Callable[[Chat, str], None]]:
    """Make a function a command by its name, less the underscore at its end."""

    def add(run: Callable[[Chat, str], None]) -> Callable[[Chat, str], None]:
        COMMANDS[f"/{run.__name__.rstrip('_')}"] = Command(run, usage, meaning)
        return run

    return add


def run(chat: Chat, line: str) -> None:
    """Run the command that a line begins with, also by the start of its name.

    Raises:
        UsageError: there is none of that name.
        Leave: it was /exit.
    """
    name, _, argument = line.strip().partition(" ")
    found = [name] if name in COMMANDS else [known for known in COMMANDS if known.startswith(name)]
    if len(found) != 1:
        raise UsageError(f"{name} is no command; /help lists them all")
    COMMANDS[found[0]].run(chat, argument.strip())


def complete(name: str, start: str) -> Iterable[str]:
    """What may stand behind a command, by what is typed of it."""
    if name in ("/read", "/save", "/load"):
        return complete_path(start)
    if name == "/model":
        return complete_model(start)
    if name == "/template":
        from zigllm_cli.templates import names

        return [word for word in names() if word.startswith(start)]
    if name == "/set":
        return [f"{word}=" for word in settable() if word.startswith(start)]
    return ()


def settable() -> list[str]:
    """Names for /set."""
    from zigllm_cli.sampling import Sampling

    return ["temp", *(field.name for field in fields(Sampling)), "max_tokens", "think"]


@command("", "this list")
def help_(chat: Chat, argument: str) -> None:
    rows = [(f"{name} {known.usage}".strip(), known.meaning) for name, known in COMMANDS.items()]
    width = max(len(name) for name, _ in rows)
    room = max(columns(sys.stderr) - width - 2, 20)
    for name, meaning in rows:
        first, *more = wrap(meaning, room)
        talk(f"{name:<{width}}  {first}")
        for line in more:
            talk(f"{'':<{width}}  {line}")
    talk('Enter sends; Alt+Enter, \\ at the end or """ around begin another line.')
    talk("Ctrl-C stops an answer, Ctrl-R looks for what you typed before, Ctrl-D leaves.")


@command("[TEXT]", "show or change the system prompt; 'none' takes it away")
def system(chat: Chat, argument: str) -> None:
    conversation = chat.talk.conversation
    if argument:
        conversation.set_system("" if argument == "none" else argument)
    talk(f"system prompt: {printable_lines(conversation.system) or 'none'}")


@command("", "forget the conversation, but not the system prompt")
def clear(chat: Chat, argument: str) -> None:
    chat.talk.conversation.clear()
    chat.attached = ""
    talk("cleared")


@command("", "another answer to the last question")
def regen(chat: Chat, argument: str) -> None:
    chat.talk.conversation.drop_answer()
    chat.answer()


@command("", "take the last question and its answer back")
def undo(chat: Chat, argument: str) -> None:
    text = chat.talk.conversation.undo()
    talk(f"taken back: {_short(text)}")


@command("", "change the last question, and ask it again")
def edit(chat: Chat, argument: str) -> None:
    chat.draft = chat.talk.conversation.undo()


@command("FILE", "write the conversation: Markdown by the ending .md, else JSON")
def save(chat: Chat, argument: str) -> None:
    if not argument:
        raise UsageError("/save needs the name of a file")
    path = Path(argument).expanduser()
    messages = chat.talk.conversation.messages
    with atomic_file(path) as file:
        file.write(exported(messages, markdown=path.suffix == ".md").encode("utf-8", "replace"))
    talk(f"{len(messages)} messages are in {path}")


@command("FILE", "take a conversation from a file of JSON, in place of this one")
def load(chat: Chat, argument: str) -> None:
    messages = read_messages(Path(argument).expanduser())
    chat.talk.conversation.replace(messages)
    talk(f"{len(messages)} messages are loaded")


@command("FILE", "attach a text file to the next question")
def read(chat: Chat, argument: str) -> None:
    text = attachment(Path(argument))
    chat.attached += text
    count = len(chat.talk.model.tokenizer.encode(text, add_special=False))
    talk(f"{argument} is attached ({count} tokens); what do you want to know of it?")


@command("NAME=VALUE", "change how answers are made: temp=0.7, max_tokens=200, think=hide")
def set_(chat: Chat, argument: str) -> None:
    name, equals, value = argument.partition("=")
    name, value = SAMPLING_ALIASES.get(name.strip(), name.strip()), value.strip()
    if not equals:
        raise UsageError("/set wants NAME=VALUE, like /set temp=0.7")
    if name == "max_tokens":
        chat.talk.max_tokens = None if value in ("none", "-1") else int(_parsed(name, value, 0))
    elif name == "think":
        if value not in (SHOW, HIDE, OFF):
            raise UsageError(f"think is {SHOW}, {HIDE} or {OFF}, not {value!r}")
        chat.screen.think = value
        chat.talk.prompter.think = value != OFF
    else:
        sampling = chat.talk.sampling
        if not hasattr(sampling, name):
            raise UsageError(f"there is no setting {name!r}; /params lists them")
        chosen = _parsed(name, value, getattr(type(sampling), name, None))
        chat.talk.sampling = replace(sampling, **{name: chosen})
    talk(f"{name} = {value}")


@command("", "how answers are made")
def params(chat: Chat, argument: str) -> None:
    sampling, usual = chat.talk.sampling, type(chat.talk.sampling)()
    for field in fields(sampling):
        value = getattr(sampling, field.name)
        mark = "" if value == getattr(usual, field.name) else "   (changed)"
        talk(f"{field.name:<22} {value}{mark}")
    talk(f"{'max_tokens':<22} {chat.talk.max_tokens}")
    talk(f"{'think':<22} {chat.screen.think}")


@command("", "what the last answer cost")
def stats(chat: Chat, argument: str) -> None:
    chat.show_stats()


@command("[TEXT]", "count the tokens of a text, or of each message")
def tokens(chat: Chat, argument: str) -> None:
    encode = chat.talk.model.tokenizer.encode
    if argument:
        talk(f"{len(encode(argument, add_special=False))} tokens")
        return
    for message in chat.talk.conversation.messages:
        count = len(encode(str(message["content"]), add_special=False))
        talk(f"{count:>7} {message['role']:<10} {_short(str(message['content']))}")
    talk(f"{len(chat.talk.prompt()[1]):>7} with the template around them")


@command("", "how full the context is")
def context(chat: Chat, argument: str) -> None:
    talk(meter(chat.talk.used, chat.talk.context, width=30))
    forgotten = chat.talk.memory.dropped
    if forgotten:
        talk(f"{forgotten} tokens of the oldest messages are forgotten")


@command("[NAME|FILE]", "show the template, or take another one")
def template(chat: Chat, argument: str) -> None:
    prompter = chat.talk.prompter
    if argument:
        chat.talk.prompter = prompter_for(chat.talk.model, argument, think=prompter.think)
        talk(f"template: {chat.talk.prompter.choice.name}")
        return
    talk(f"template: {prompter.choice.name}")
    talk(printable_lines(prompter.choice.source))


@command("[NAME]", "show the model, or go on with another one")
def model(chat: Chat, argument: str) -> None:
    if argument:
        chat.change_model(argument)
        open_engine(chat.talk)
    file = chat.talk.model.file
    talk(f"model: {printable(str(file.path))} ({printable(file.architecture)})")


@command("", "copy the last answer to the clipboard, if the terminal does that (OSC 52)")
def copy(chat: Chat, argument: str) -> None:
    answer = chat.talk.conversation.last_answer
    if answer is None:
        raise UsageError("there is no answer to copy yet")
    if not sys.stdout.isatty():
        raise UsageError("/copy needs a terminal")
    coded = base64.b64encode(answer.encode("utf-8", "replace")).decode("ascii")
    sys.stdout.write(f"\x1b]52;c;{coded}\x07")
    sys.stdout.flush()
    talk(f"{len(answer)} characters are copied")


@command("", "leave; the conversation is kept")
def exit_(chat: Chat, argument: str) -> None:
    raise Leave


def exported(messages: list[dict[str, Any]], *, markdown: bool) -> str:
    """Messages as a file: Markdown, or JSON that /load reads."""
    if not markdown:
        return json.dumps({"messages": messages}, ensure_ascii=False, indent=2) + "\n"
    titles = {SYSTEM: "System", "user": "You", "assistant": "Model"}
    parts = [f"## {titles.get(m['role'], m['role'])}\n\n{m['content']}\n" for m in messages]
    return "\n".join(parts)


def read_messages(path: Path) -> list[dict[str, Any]]:
    """Messages from a file: a JSON list, an object with `messages`, or a conversation's log.

    Raises:
        InputError: it can't be read.
        UsageError: it holds no messages.
    """
    if path.suffix == ".jsonl":
        from zigllm_cli.chat.log import read as read_log

        return read_log(path).conversation.messages
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    return check_messages(value, str(path))


def _parsed(name: str, value: str, usual: Any) -> Any:
    """A value as the type of the setting wants it."""
    if value == "none":
        return None
    try:
        if isinstance(usual, bool):
            return {"true": True, "false": False}[value]
        if isinstance(usual, int) or name == "seed":
            return int(value)
        if isinstance(usual, float):
            return float(value)
    except (ValueError, KeyError):
        raise UsageError(f"{name} can't be {value!r}") from None
    if name == "samplers":
        return tuple(part.strip() for part in value.split(";"))
    raise UsageError(f"{name} can't be changed while talking; give it on the command line")


def _short(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= 60 else f"{line[:57]}..."
