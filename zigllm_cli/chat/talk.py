"""Turns of a conversation: a question in, an answer out, piece by piece."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from zigllm_cli.catalog.folders import PRIVATE_FILE
from zigllm_cli.chat.conversation import ASSISTANT, Conversation
from zigllm_cli.chat.memory import Memory
from zigllm_cli.chat.prompting import Prompter
from zigllm_cli.chat.thinking import SAY, TAGS, THINK, Part, Reader, opened_by
from zigllm_cli.engine.generation import STOP, Timings
from zigllm_cli.engine.session import Session
from zigllm_cli.errors import ZigllmError
from zigllm_cli.templates import Rendered

if TYPE_CHECKING:
    from zigllm_cli.engine.generation import Generation
    from zigllm_cli.model import Model
    from zigllm_cli.sampling import Sampling

INTERRUPTED = "interrupted"


@dataclass
class Turn:
    """What a turn cost, and how it ended.

    Attributes:
        prompt: tokens of the whole prompt.
        reused: of these, known from before.
        evaluated: of these, evaluated now.
        forgotten: tokens that a full context made the engine forget.
        generated: tokens of the answer.
        lost: the template destroyed the marks of contents.
        finish: why it ended: "end", "stop", "length", "context" or "interrupted".
    """

    prompt: int = 0
    reused: int = 0
    evaluated: int = 0
    forgotten: int = 0
    generated: int = 0
    lost: bool = False
    finish: str | None = None
    timings: Timings = field(default_factory=Timings)


class Talk:
    """A conversation with a model.

    Attributes:
        conversation: the messages.
        prompter: the template.
        sampling: how answers are chosen.
        max_tokens: the most of an answer; None for as many as the context holds.
        shift: go on when the context is full, by forgetting the oldest messages.
        turn: the last one, or the one that is being given.
    """

    def __init__(
        self,
        model: Model,
        prompter: Prompter,
        conversation: Conversation,
        sampling: Sampling,
        *,
        max_tokens: int | None = None,
        shift: bool = True,
    ) -> None:
        self.model = model
        self.prompter = prompter
        self.conversation = conversation
        self.sampling = sampling
        self.max_tokens = max_tokens
        self.shift = shift
        self.turn = Turn()
        self._memory: Memory | None = None
        self._answers = 0

    @property
    def memory(self) -> Memory:
        """The engine's; it is opened when it is first needed."""
        if self._memory is None:
            self._memory = Memory(Session(self.model.runner()))
        return self._memory

    @property
    def context(self) -> int:
        """Tokens that the context holds."""
        return self.memory.session.runner.context

    @property
    def used(self) -> int:
        """Tokens in it."""
        return len(self.memory.session) if self._memory is not None else 0

    def prompt(self) -> tuple[Rendered, list[int]]:
        """What would be sent now, as text and as tokens."""
        rendered = self.prompter.render(self.conversation.messages)
        return rendered, self.prompter.encode(rendered)

    def answer(self) -> Generator[Part]:
        """The model's answer to the last message, in parts, which then joins the conversation.

        Stopped from outside (KeyboardInterrupt, or `close` of the iterator), what was said so far
        stays. `turn` tells what it cost.

        Raises:
            GenerationError: the template fails, or takes no such conversation.
            UsageError: the context is full.
        """
        self.turn = Turn()
        return self._answer()

    def save_state(self, path: Path) -> None:
        """Keep what the engine knows in a file, and in the log how to use it again.

        Raises:
            InputError: it can't be written.
        """
        self.memory.session.save(path)
        path.chmod(PRIVATE_FILE)
        if self.conversation.log is not None:
            self.conversation.log.write({"type": "kv", **self.memory.state()})

    def load_state(self, path: Path, state: dict[str, Any]) -> int:
        """Take it back; the tokens that need not be evaluated again.

        Raises:
            InputError: the file is damaged, or of another model.
        """
        self.memory.session.load(path)
        rendered = self.prompter.render(self.conversation.messages, answer=False)
        self.memory.recover(state, rendered.text)
        return len(self.memory.session)

    def _answer(self) -> Generator[Part]:
        rendered, generation = self._begin()
        reader = Reader(opened_by(rendered.text))
        parts: list[Part] = []
        try:
            yield from self._parts(generation, reader, parts)
        except (KeyboardInterrupt, GeneratorExit):
            self.turn.finish = INTERRUPTED
            raise
        finally:
            parts += reader.close()
            self._end(rendered, generation, parts)

    def _begin(self) -> tuple[Rendered, Generation]:
        started = perf_counter()
        messages = self.conversation.messages
        memory, prompter = self.memory, self.prompter
        rendered = prompter.render(messages)
        ids = memory.tokens_of(
            rendered,
            lambda start, after: prompter.encode(rendered, start, after_special=after),
            self.model.tokenizer.vocabulary.is_hidden,
        )
        dropped = memory.dropped
        kept = prompter.kept(rendered, messages)
        room = min(self.max_tokens or 1, self.context // 4) if self.shift else 1
        window = memory.fit(ids, kept=kept, room=room, shift=self.shift)
        reused = memory.session.reuse(window)
        self.turn = Turn(
            prompt=len(window),
            reused=reused,
            evaluated=len(window) - reused,
            forgotten=max(memory.dropped - dropped, 0),
            lost=rendered.lost,
        )
        generation = self.model.continue_from(
            memory.session,
            window,
            self._sampling(),
            max_tokens=self.max_tokens or self.context,  # a context that shifts would never end
            stop=prompter.stops,
            keep=memory.kept if self.shift else None,
        )
        generation.timings.load = perf_counter() - started
        self.turn.timings = generation.timings
        return rendered, generation

    def _sampling(self) -> Sampling:
        """With a seed each answer has a seed of its own, so that /regen gives another one."""
        seed = self.sampling.seed
        self._answers += 1
        return (
            self.sampling if seed is None else replace(self.sampling, seed=seed + self._answers - 1)
        )

    def _parts(self, generation: Generation, reader: Reader, parts: list[Part]) -> Iterator[Part]:
        """What is said and thought; tags that print nothing are put back for the reader."""
        vocabulary = self.model.tokenizer.vocabulary
        seen = 0
        for piece in generation:
            fresh = generation.ids[seen:]
            seen += len(fresh)
            hidden = [vocabulary.tokens[token] for token in fresh if vocabulary.is_hidden(token)]
            tags = "".join(text for text in hidden if text in _ALL_TAGS)
            for part in reader.push(tags + piece):
                parts.append(part)
                yield part
        for part in reader.close():
            parts.append(part)
            yield part

    def _end(self, rendered: Rendered, generation: Generation, parts: list[Part]) -> None:
        """The answer joins the conversation and the memory."""
        turn, ids = self.turn, list(generation.ids)
        turn.generated = len(ids)
        turn.finish = turn.finish or generation.finish_reason or INTERRUPTED
        evaluated = turn.prompt + turn.timings.decode_tokens
        said, thought = ("".join(t for k, t in parts if k == kind) for kind in (SAY, THINK))
        if not ids and not parts:
            return
        is_whole = turn.finish != STOP and generation.text == said
        turn.forgotten += self.memory.answered(said if is_whole else None, ids, evaluated)
        content = said if not thought and self._stands(rendered, said) else said.strip()
        more = {"reasoning_content": thought.strip()} if thought.strip() else {}
        self.conversation.say(ASSISTANT, content, **more)

    def _stands(self, rendered: Rendered, said: str) -> bool:
        """Whether the template will put the text as it is behind the prompt that it answers."""
        answered = [*self.conversation.messages, {"role": ASSISTANT, "content": said}]
        try:
            text = self.prompter.render(answered, answer=False).text
        except ZigllmError:  # it has no place for this text
            return False
        return text.startswith(rendered.text + said)


_ALL_TAGS = frozenset(TAGS) | frozenset(TAGS.values())
