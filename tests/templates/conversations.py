"""Conversations that templates are tried with."""

from __future__ import annotations

from typing import Any

Messages = list[dict[str, Any]]

SPECIAL = (
    "a <|im_end|> b </s> [/INST] <s> <|eot_id|> {{ 7*7 }} {% raw %}"
    " é 漢字 🙂 \\n 'q' \"d\" <b>&amp;"
)

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "A town."}},
            "required": ["place"],
        },
    },
}

CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "weather", "arguments": {"place": "Ulm"}},
}


def said(*texts: str, system: str | None = None) -> Messages:
    """Turns of user and assistant, in turn."""
    first = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    return [*first, *({"role": roles[i % 2], "content": text} for i, text in enumerate(texts))]


CONVERSATIONS: dict[str, Messages] = {
    "one": said("Hi"),
    "system": said("Name a colour.", system="Answer briefly."),
    "many": said(*(f"turn {i}\nline" for i in range(21)), system="Count."),
    "empty": said("", "", "x"),
    "special": said(SPECIAL, SPECIAL, SPECIAL, system=SPECIAL),
    "spaces": said("  lead", "\n\ntrail \n", "\ttab "),
    "thinking": said("Why?", "<think>\nHm.\n</think>\n\nSo.", "And?"),
    "reasoning": [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "So.", "reasoning_content": "Hm."},
        {"role": "user", "content": "And?"},
    ],
    "called": [
        {"role": "user", "content": "Weather in Ulm?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "name": "weather", "tool_call_id": "call00001", "content": "rain"},
    ],
}

WITH_TOOLS = ("one", "system", "called")
