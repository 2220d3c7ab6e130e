"""`render`: messages through a template, with the origin of each character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zigllm_cli.errors import GenerationError, UsageError
from zigllm_cli.templates.worker import WORKER

Message = Mapping[str, Any]

REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names under which templates look for what a model thought before its answer."""


class RefusedError(GenerationError):
    """The template itself says that it does not take this conversation."""


@dataclass(frozen=True)
class Rendered:
    """A prompt.

    Attributes:
        text: the whole of it.
        content: start and stop of each stretch that comes from the messages.
        lost: the template destroyed marks: of the messages' texts only what can still be found
            is in `content`.
    """

    text: str
    content: tuple[tuple[int, int], ...] = ()
    lost: bool = False


def render(
    template: str,
    messages: Sequence[Message],
    *,
    bos_token: str | None = None,
    eos_token: str | None = None,
    add_generation_prompt: bool = True,
    tools: Sequence[Any] | None = None,
    now: datetime | None = None,
    **variables: Any,
) -> str:
    """The prompt that a chat template makes of messages, as transformers would.

    Args:
        template: Jinja source; untrusted.
        messages: dictionaries with role, content and whatever else the template knows.
        add_generation_prompt: end with the beginning of an answer.
        tools: JSON schemas of functions that the model may call.
        now: what `strftime_now` tells; default: the time it is.
        variables: anything else the template asks for: documents, enable_thinking, ...

    Raises:
        GenerationError: it is not valid, refuses the conversation, or goes beyond its bounds.
        UsageError: the values are not plain data.
    """
    return render_traced(
        template,
        messages,
        bos_token=bos_token,
        eos_token=eos_token,
        add_generation_prompt=add_generation_prompt,
        tools=tools,
        now=now,
        **variables,
    ).text


def render_traced(
    template: str,
    messages: Sequence[Message],
    *,
    bos_token: str | None = None,
    eos_token: str | None = None,
    tools: Sequence[Any] | None = None,
    documents: Sequence[Any] | None = None,
    now: datetime | None = None,
    **variables: Any,
) -> Rendered:
    """`render`, with the origin of each character."""
    given = [_normal(message) for message in messages]
    tokens = {"bos_token": bos_token, "eos_token": eos_token}
    trusted = {**_plain(variables), **{k: v for k, v in tokens.items() if v is not None}}
    contents = {"messages": given, "tools": _plain(tools), "documents": _plain(documents)}
    answer = WORKER.ask(
        {
            "source": template,
            "variables": trusted,
            "contents": contents,
            "now": now.isoformat() if now else None,
        }
    )
    if "error" in answer:
        kind = RefusedError if answer["refused"] else GenerationError
        raise kind("".join(c if c.isprintable() else " " for c in answer["error"]))
    rendered = Rendered(answer["text"], tuple(map(tuple, answer["content"])), answer["lost"])
    return with_found(rendered, contents) if rendered.lost else rendered


def with_found(rendered: Rendered, contents: Any) -> Rendered:
    """Mark the messages' texts wherever they can be found: the marks themselves were lost."""
    marked = bytearray(len(rendered.text))
    for start, stop in rendered.content:
        marked[start:stop] = b"\1" * (stop - start)
    for wanted in sorted(set(_texts(contents)), key=len, reverse=True):
        start = rendered.text.find(wanted)
        while start >= 0:
            stop = start + len(wanted)
            marked[start:stop] = b"\1" * len(wanted)
            start = rendered.text.find(wanted, stop)
    return Rendered(rendered.text, tuple(_runs(marked)), lost=True)


def _runs(marked: bytearray) -> list[tuple[int, int]]:
    runs, stop = [], 0
    while (start := marked.find(1, stop)) >= 0:
        stop = marked.find(0, start)
        stop = len(marked) if stop < 0 else stop
        runs.append((start, stop))
    return runs


def _texts(value: Any) -> list[str]:
    """Every text in a message, stripped as templates like to do it; roles are no contents."""
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, Mapping):
        return [text for key, item in value.items() if key != "role" for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []


def _normal(message: Message) -> dict[str, Any]:
    """A message as transformers hands it to templates: no key without a value, and the
    reasoning under each of its names."""
    if not isinstance(message, Mapping):
        raise UsageError(f"a message is {message!r}, but must be an object with role and content")
    given: dict[str, Any] = {k: v for k, v in _plain(message).items() if v is not None}
    reasoning = next((given[name] for name in REASONING if name in given), None)
    if reasoning is None:
        return given
    return {"thinking": reasoning, **given, "reasoning_content": reasoning}


def _plain(value: Any) -> Any:
    """Nothing but JSON's types, exactly: no object of ours may reach a template.

    Raises:
        UsageError: something else is in it.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise UsageError(f"a template takes texts, numbers, lists and objects, but no {value!r}")
