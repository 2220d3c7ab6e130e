"""The conversation in a terminal: read, run or answer, again."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType

from zigllm_cli.chat.conversation import USER
from zigllm_cli.chat.log import LogFile
from zigllm_cli.chat.talk import INTERRUPTED, Talk
from zigllm_cli.chat.thinking import Part
from zigllm_cli.commands import _chat_commands as commands
from zigllm_cli.commands._chat_input import Input
from zigllm_cli.commands._chat_screen import OFF, Screen, meter
from zigllm_cli.commands._chat_setup import (
    Wishes,
    attachment,
    model_name,
    open_engine,
    prompter_for,
)
from zigllm_cli.commands._engine import open_model
from zigllm_cli.commands._generate_stats import show_stats
from zigllm_cli.commands._output import printable, talk
from zigllm_cli.errors import INTERRUPTED as EXIT_INTERRUPTED
from zigllm_cli.errors import InputError, ZigllmError

STOPPED = "(stopped)"


class Chat:
    """One run of `zigllm chat`.

    Attributes:
        talk: the conversation.
        screen: shows answers.
        attached: text of files for the next question.
        draft: what the next line to type begins with.
    """

    def __init__(self, conversation: Talk, log: LogFile | None, wishes: Wishes) -> None:
        self.talk = conversation
        self.log = log
        self.wishes = wishes
        self.screen = Screen(markdown=wishes.markdown, think=wishes.think)
        self.attached = "".join(map(attachment, wishes.files))
        self.draft = ""

    # ------------------------------------------------------------------ one turn

    def run_once(self, text: str) -> int:
        """Answer one text; returns the exit code."""
        open_engine(self.talk)
        self.ask(text)
        self.close()
        return EXIT_INTERRUPTED if self.talk.turn.finish == INTERRUPTED else 0

    def ask(self, text: str) -> None:
        """Say something, and show the answer."""
        self.talk.conversation.say(USER, self.attached + text)
        self.attached = ""
        self.answer()

    def answer(self) -> None:
        """Show the answer to what was said last; Ctrl-C ends it, and what was said stays."""
        parts = self.talk.answer()
        try:
            with _gentle_interrupt() as interrupt:
                self.screen.show(_until(parts, interrupt))
        except KeyboardInterrupt:
            self.talk.turn.finish = INTERRUPTED
        finally:
            parts.close()
        self._notices()
        if self.wishes.stats:
            self.show_stats()

    def _notices(self) -> None:
        turn = self.talk.turn
        if turn.lost:
            talk(
                "the template hides which text is yours: special tokens in it are left as text "
                "only where it can still be found"
            )
        if turn.forgotten:
            talk(
                f"the context is full: {turn.forgotten} tokens of the oldest messages are forgotten"
            )
        if turn.finish == INTERRUPTED:
            talk(STOPPED)
        elif turn.finish == "context":
            talk(
                "the context is full: /undo or /clear makes room, --context-shift forgets by itself"
            )
        elif turn.finish == "length":
            talk(f"(cut after {turn.generated} tokens; /set max_tokens=none lifts that)")

    def show_stats(self) -> None:
        """Figures of the last turn, on stderr."""
        turn = self.talk.turn
        talk(
            f"{'prompt':<12}{turn.prompt} tokens, {turn.reused} known from before, "
            f"{turn.evaluated} evaluated"
        )
        runner = self.talk.memory.session.runner
        show_stats(turn.timings, runner, seed=self.talk.sampling.seed, reason=turn.finish)

    # ------------------------------------------------------------------ many turns

    def run(self) -> int:
        """Talk until the user leaves; returns the exit code."""
        open_engine(self.talk)
        names = {name: known.meaning for name, known in commands.COMMANDS.items()}
        reader = Input(names, commands.complete, self.status)
        self.greet()
        with contextlib.suppress(EOFError, commands.Leave):
            while True:
                self.step(reader)
        self.close()
        return 0

    def step(self, reader: Input) -> None:
        """One line of the user's; an error is a sentence, and the conversation goes on."""
        draft, self.draft = self.draft, ""
        try:
            line = reader.read(draft)
        except KeyboardInterrupt:
            talk("(Ctrl-D or /exit leaves)")
            return
        if not line.strip():
            return
        try:
            if line.lstrip().startswith("/") and "\n" not in line.strip():
                commands.run(self, line)
            else:
                self.ask(line)
        except ZigllmError as error:
            talk(f"zigllm: {error}")
        except KeyboardInterrupt:  # before an answer began, or in a command
            talk(STOPPED)

    def greet(self) -> None:
        """What goes on, and how to find out more."""
        conversation = self.talk.conversation
        file = self.talk.model.file
        template = self.talk.prompter.choice.name
        talk(f"{printable(file.path.name)} ({printable(file.architecture)}), template: {template}")
        talk("/help for help, Ctrl-C stops an answer, Ctrl-D leaves")
        if len(conversation) > bool(conversation.system):
            talk(f"going on with {len(conversation)} messages; the last one:")
            last = conversation.messages[-1]
            self.screen.show([("say", str(last["content"]))])
            if conversation.waits:
                talk("it has no answer yet; /regen gives one")

    def status(self) -> str:
        """The line below the input."""
        where = meter(self.talk.used, self.talk.context)
        return f" {where}{'  + file' if self.attached else ''}"

    def change_model(self, name: str) -> None:
        """Go on with another model; the conversation stays."""
        request = replace(self.wishes.request, model=name)
        model = open_model(request)
        old = self.talk
        prompter = prompter_for(model, None, think=self.screen.think != OFF)
        self.talk = Talk(
            model,
            prompter,
            old.conversation,
            old.sampling,
            max_tokens=old.max_tokens,
            shift=old.shift,
        )
        old.memory.session.runner.close()
        if self.log is not None:
            self.log.write({"type": "model", "model": model_name(name)})
        self.wishes = replace(self.wishes, request=request)

    def close(self) -> None:
        """Keep what is to be kept."""
        log = self.log
        if log is None or not log.exists:
            return
        if self.wishes.keep_kv:
            try:
                self.talk.save_state(log.kv)
            except InputError as error:
                talk(f"zigllm: {error}")
        log.close()
        if sys.stdin.isatty():
            talk(f"kept as {log.id}: zigllm chat --continue goes on with it")


class _Interrupt:
    """Ctrl-C: at once while the prompt is evaluated, then between two tokens; twice, at once."""

    def __init__(self) -> None:
        self.is_asked = False
        self.is_answering = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked or not self.is_answering:
            raise KeyboardInterrupt
        self.is_asked = True


def _until(parts: Iterator[Part], interrupt: _Interrupt) -> Iterator[Part]:
    for part in parts:
        interrupt.is_answering = True
        yield part
        if interrupt.is_asked:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _gentle_interrupt() -> Iterator[_Interrupt]:
    interrupt = _Interrupt()
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
