"""The messages of a conversation, and what can be done with them.

Every change goes to the log before it is made, so that the file on disk is never behind by more
than the answer that is being written.
"""

from __future__ import annotations

from typing import Any, Protocol

from zigllm_cli.errors import UsageError

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"

Message = dict[str, Any]


class Log(Protocol):
    """Where changes are written down."""

    def write(self, event: dict[str, Any]) -> None:
        """Append one."""


class Conversation:
    """A system prompt, maybe, then questions and answers.

    Attributes:
        messages: role, content and what else templates read.
    """

    def __init__(self, messages: list[Message] | None = None, log: Log | None = None) -> None:
        self.messages: list[Message] = list(messages or [])
        self.log = log

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def system(self) -> str:
        """The system prompt; empty where there is none."""
        first = self.messages[0] if self.messages else {}
        return str(first["content"]) if first.get("role") == SYSTEM else ""

    @property
    def waits(self) -> bool:
        """Whether the last question has no answer."""
        return bool(self.messages) and self.messages[-1]["role"] not in (SYSTEM, ASSISTANT)

    @property
    def last_answer(self) -> str | None:
        """What the model said last."""
        said = [m["content"] for m in self.messages if m["role"] == ASSISTANT]
        return str(said[-1]) if said else None

    def say(self, role: str, content: str, **more: Any) -> None:
        """Add a message."""
        message = {"role": role, "content": content, **more}
        self._write({"type": "message", **message})
        self.messages.append(message)

    def set_system(self, content: str) -> None:
        """Change the system prompt; empty takes it away."""
        self._write({"type": "system", "content": content})
        self.messages[: bool(self.system)] = (
            [{"role": SYSTEM, "content": content}] if content else []
        )

    def cut(self, length: int) -> None:
        """Forget all messages but the first `length`."""
        self._write({"type": "cut", "length": length})
        del self.messages[length:]

    def clear(self) -> None:
        """Forget everything but the system prompt."""
        self.cut(bool(self.system))

    def undo(self) -> str:
        """Take the last question and its answer back; the question's text.

        Raises:
            UsageError: there is none.
        """
        place = self._last_question()
        text = str(self.messages[place]["content"])
        self.cut(place)
        return text

    def drop_answer(self) -> None:
        """Take the last answer back, so that another one can be given.

        Raises:
            UsageError: nothing was asked.
        """
        self.cut(self._last_question() + 1)

    def replace(self, messages: list[Message]) -> None:
        """Take other messages in place of all."""
        self.cut(0)
        for message in messages:
            self._write({"type": "message", **message})
            self.messages.append(message)

    def apply(self, event: dict[str, Any]) -> None:
        """Make a change that the log tells of."""
        kind = event.get("type")
        if kind == "message":
            self.messages.append({k: v for k, v in event.items() if k not in ("type", "time")})
        elif kind == "cut":
            del self.messages[event["length"] :]
        elif kind == "system":
            log, self.log = self.log, None
            self.set_system(event["content"])
            self.log = log

    def _last_question(self) -> int:
        for place in range(len(self.messages) - 1, -1, -1):
            if self.messages[place]["role"] == USER:
                return place
        raise UsageError("nothing was asked yet")

    def _write(self, event: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write(event)


def check_messages(value: Any, where: str) -> list[Message]:
    """Messages as a file has them.

    Raises:
        UsageError: not a list of objects with a role, and contents that are texts.
    """
    if isinstance(value, dict):
        value = value.get("messages")
    if not isinstance(value, list) or not value:
        raise UsageError(f"{where} holds no list of messages")
    for place, message in enumerate(value, 1):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise UsageError(f"{where}: message {place} is not an object with a role and a content")
    return value
