"""Messages to tokens, through a template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zigllm_cli.chat.conversation import SYSTEM, USER, Message
from zigllm_cli.chat.thinking import TAGS, opened_by
from zigllm_cli.templates import Choice, RefusedError, Rendered, render_traced
from zigllm_cli.tokenizers import Tokenizer

STOPS = {"vicuna": ("USER:",), "alpaca": ("### Instruction:",), "falcon": ("User:",)}
"""Named templates whose models write the next question, where others end by a token."""


class Prompter:
    """Renders and encodes with one template.

    Attributes:
        choice: the template.
        think: False asks the model not to think before it answers.
        folded: the template takes no system prompt: it stands before the first question.
    """

    def __init__(self, tokenizer: Tokenizer, choice: Choice, *, think: bool = True) -> None:
        self.tokenizer = tokenizer
        self.choice = choice
        self.think = think
        self.folded = False

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer, besides end tokens."""
        return STOPS.get(self.choice.name, ())

    def render(self, messages: Sequence[Message], *, answer: bool = True) -> Rendered:
        """The prompt for an answer to these messages; without `answer` just the messages.

        Raises:
            GenerationError: the template fails, or takes no such conversation.
        """
        try:
            rendered = self._render(messages, answer)
        except RefusedError:
            if not any(m["role"] == SYSTEM for m in messages):
                raise
            rendered = self._render(_folded(messages), answer)
            self.folded = True
        tag = opened_by(rendered.text)
        if answer and tag is not None and not self.think:
            text = f"{rendered.text.rstrip()}\n\n{TAGS[tag]}\n\n"
            return Rendered(text, rendered.content, rendered.lost)
        return rendered

    def _render(self, messages: Sequence[Message], answer: bool) -> Rendered:
        variables: dict[str, Any] = {} if self.think else {"enable_thinking": False}
        return render_traced(
            self.choice.source,
            messages,
            bos_token=self._text("bos"),
            eos_token=self._text("eos"),
            add_generation_prompt=answer,
            **variables,
        )

    def encode(
        self, rendered: Rendered, start: int = 0, *, after_special: bool = True
    ) -> list[int]:
        """Tokens of the text from `start` on.

        At the very beginning BOS is put in front where the file wants it and the template has
        not written it.
        """
        content = [(max(a - start, 0), b - start) for a, b in rendered.content if b > start]
        ids = self.tokenizer.encode_prompt(
            rendered.text[start:], content, after_special=after_special
        )
        prefix = self.tokenizer.prefix if start == 0 else []
        return ids if ids[: len(prefix)] == prefix else [*prefix, *ids]

    def kept(self, rendered: Rendered, messages: Sequence[Message]) -> int:
        """Tokens up to the first question: the system prompt, which a full context spares."""
        asked = next((str(m["content"]) for m in messages if m["role"] == USER), "").strip()
        place = rendered.text.find(asked) if asked else -1
        if place <= 0:
            return len(self.tokenizer.prefix)
        content = tuple((a, min(b, place)) for a, b in rendered.content if a < place)
        return len(self.encode(Rendered(rendered.text[:place], content)))

    def _text(self, name: str) -> str:
        token = self.tokenizer.vocabulary.special.get(name)
        return "" if token is None else self.tokenizer.vocabulary.tokens[token]


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The system prompt at the start of the first question, for templates without that role."""
    system = "\n\n".join(str(m["content"]) for m in messages if m["role"] == SYSTEM)
    rest = [dict(m) for m in messages if m["role"] != SYSTEM]
    first = next((m for m in rest if m["role"] == USER), None)
    if first is not None:
        first["content"] = f"{system}\n\n{first['content']}"
    return rest
