"""From the options of `zigllm chat` to a conversation that can begin, or go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zigllm_cli.chat.conversation import Conversation
from zigllm_cli.chat.log import LogFile, Saved, find, new_id
from zigllm_cli.chat.prompting import Prompter
from zigllm_cli.chat.talk import Talk
from zigllm_cli.commands._chat_screen import OFF
from zigllm_cli.commands._engine import EngineRequest, open_model, prepare
from zigllm_cli.commands._output import human_bytes, talk
from zigllm_cli.commands._sampling import SamplingOptions
from zigllm_cli.errors import InputError, ZigllmError, unreadable
from zigllm_cli.templates import choose

if TYPE_CHECKING:
    from zigllm_cli.model import Model

FENCE = "```"


@dataclass(frozen=True)
class Wishes:
    """What the options say.

    Attributes:
        resume: the name of a conversation to go on with; "" for the last one.
        save: write the conversation down.
        files: to attach to the first question.
    """

    request: EngineRequest
    sampling: SamplingOptions
    system: str | None = None
    template: str | None = None
    think: str = "show"
    max_tokens: int | None = None
    shift: bool = True
    resume: str | None = None
    save: bool = True
    keep_kv: bool = False
    files: Sequence[Path] = ()
    markdown: bool = True
    stats: bool = False


def build(wishes: Wishes) -> tuple[Talk, LogFile | None]:
    """The conversation, and its file; the engine is opened later."""
    saved = find(wishes.resume or None) if wishes.resume is not None else None
    request = wishes.request
    if saved is not None and request.model is None and saved.head.get("model"):
        request = replace(request, model=str(saved.head["model"]))
    model = open_model(request)
    conversation = saved.conversation if saved is not None else Conversation()
    log = log_for(saved, request.model) if wishes.save else None
    conversation.log = log
    chat = Talk(
        model,
        prompter_for(model, wishes.template, think=wishes.think != OFF),
        conversation,
        wishes.sampling.settle(model.file.metadata),
        max_tokens=wishes.max_tokens,
        shift=wishes.shift,
    )
    if wishes.system and wishes.system != conversation.system:
        conversation.set_system(wishes.system)
    if saved is not None and saved.kv is not None and log is not None and saved.kv_size:
        _recall(chat, log, saved)
    return chat, log


def log_for(saved: Saved | None, model: str | None) -> LogFile:
    """The file of a conversation that goes on, or of a new one."""
    if saved is not None:
        return LogFile(saved.id)
    from zigllm_cli.catalog import BUILTIN

    return LogFile(new_id(), {"model": model_name(model or BUILTIN)})


def model_name(name: str) -> str:
    """A model argument as it means the same from every folder."""
    path = Path(name)
    return str(path.resolve()) if path.exists() else name


def prompter_for(model: Model, template: str | None, *, think: bool) -> Prompter:
    """The template of a model, with a word where it was guessed."""
    tokenizer = model.tokenizer
    choice = choose(template, model.file.metadata, tokenizer.vocabulary.ids)
    if choice.guessed and choice.name == "none":
        talk(
            "the file has no chat template and its vocabulary shows none: the model goes on with "
            "your text as it is (--template NAME gives one)"
        )
    elif choice.guessed:
        talk(f"the file has no chat template; it looks like {choice.name} (--template NAME)")
    return Prompter(tokenizer, choice, think=think)


def open_engine(chat: Talk) -> None:
    """Open it and compile its kernels, before anything is shown."""
    runner = chat.memory.session.runner
    few = min(64, runner.batch)
    prepare(runner, [(runner.batch, 0), (few, 1), (8, 1), (1, 1)])


def _recall(chat: Talk, log: LogFile, saved: Saved) -> None:
    """Load the engine's state, if it is of this model; otherwise everything is evaluated anew."""
    assert saved.kv is not None
    try:
        known = chat.load_state(log.kv, saved.kv)
        talk(f"{known} tokens are known from {log.kv} ({human_bytes(saved.kv_size)})")
    except (ZigllmError, KeyError, TypeError, ValueError) as error:
        talk(f"the kept state is not used: {error}")


def attachment(path: Path) -> str:
    """A text file as it stands before a question.

    Raises:
        InputError: it can't be read, or is no text.
    """
    try:
        text = path.expanduser().read_bytes().decode("utf-8")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text in UTF-8; attach text files only") from None
    fence = FENCE
    while fence in text:
        fence += "`"
    return f"{path.name}:\n{fence}\n{text.rstrip()}\n{fence}\n\n"
