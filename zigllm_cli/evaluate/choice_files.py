"""Files of multiple-choice tasks: llama-perplexity's three, and JSON lines.

hellaswag         six lines a task: context, number of the right ending (from 0), four endings
winogrande        CSV without a header: index, sentence with _, two choices, answer (1 or 2)
multiple-choice   binary: count u32, positions u32 [count], then per task the question, the
                  answers with one right one, the answers with several (not used);
                  a text is its length u32 and its bytes, answers are a count u32, so many
                  texts, and so many labels i32 (1: right); all little-endian
JSON lines        {"prompt": ..., "choices": [...], "answer": number from 0 or a choice}
"""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from zigllm_cli.errors import InputError, unreadable

MOST_ANSWERS = 100


@dataclass(frozen=True)
class Choice:
    """A task: which of several texts is the likeliest?

    Attributes:
        texts: each a whole: the question with one of its answers.
        right: numbers of the right ones, from 0.
        heads: where only what follows the choice is scored (winogrande): the text up to there.
    """

    texts: tuple[str, ...]
    right: frozenset[int]
    heads: tuple[str, ...] = ()


def read_choices(kind: str, data: bytes, name: str) -> list[Choice]:
    """The tasks of a file.

    Args:
        kind: hellaswag, winogrande or multiple-choice; the last also reads JSON lines.
        name: of the file, for messages.

    Raises:
        InputError: it is malformed; the message says where.
    """
    is_json = data[:64].lstrip().startswith(b"{") and b"\0" not in data[:4]
    if kind == "multiple-choice" and not is_json:
        return _binary(data, name)
    text = data.decode("utf-8", "surrogateescape")
    readers: dict[str, Callable[[str, str], list[Choice]]] = {
        "hellaswag": _hellaswag,
        "winogrande": _winogrande,
        "multiple-choice": _json_lines,
    }
    tasks = readers[kind](text, name)
    if not tasks:
        raise InputError(f"{name} has no tasks")
    return tasks


def _hellaswag(text: str, name: str) -> list[Choice]:
    lines = text.removesuffix("\n").split("\n")
    if len(lines) % 6:
        raise InputError(
            f"{name} has {len(lines)} lines, which is no multiple of 6: a task is a context, the "
            "right ending's number and four endings"
        )
    tasks = []
    for at in range(0, len(lines), 6):
        context, answer, *endings = (line.removesuffix("\r") for line in lines[at : at + 6])
        if answer.strip() not in ("0", "1", "2", "3"):
            raise InputError(f"{name}, line {at + 2}: {answer!r} is no number from 0 to 3")
        texts = tuple(f"{context} {ending}" for ending in endings)
        tasks.append(Choice(texts, frozenset({int(answer)})))
    return tasks


def _winogrande(text: str, name: str) -> list[Choice]:
    tasks = []
    try:
        rows = list(csv.reader(StringIO(text, newline=None)))
    except csv.Error as error:
        raise InputError(f"{name} is no CSV: {error}") from None
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        if len(row) != 5 or "_" not in row[1] or row[4].strip() not in ("1", "2"):
            raise InputError(
                f"{name}, row {number}: not index, sentence with _, two choices, answer (1 or 2)"
            )
        before, _, behind = row[1].partition("_")
        heads = (before + row[2], before + row[3])
        texts = tuple(head + behind for head in heads)
        tasks.append(Choice(texts, frozenset({int(row[4]) - 1}), heads))
    return tasks


def _json_lines(text: str, name: str) -> list[Choice]:
    tasks = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
                prompt, choices, answer = (value[key] for key in ("prompt", "choices", "answer"))
                right = choices.index(answer) if isinstance(answer, str) else answer
                is_sound = (
                    isinstance(prompt, str)
                    and isinstance(choices, list)
                    and 2 <= len(choices) <= MOST_ANSWERS
                    and all(isinstance(choice, str) and choice for choice in choices)
                    and type(right) is int
                    and 0 <= right < len(choices)
                )
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                is_sound = False
            if not is_sound:
                raise InputError(
                    f"{name}, line {number}: not an object with prompt, choices and answer (a "
                    "number from 0, or one of the choices)"
                )
            texts = tuple(_together(prompt, choice) for choice in choices)
            tasks.append(Choice(texts, frozenset({right})))
    return tasks


def _together(prompt: str, choice: str) -> str:
    """With a space in between, unless there is one or nothing before."""
    if not prompt or prompt[-1].isspace() or choice[0].isspace():
        return prompt + choice
    return f"{prompt} {choice}"


class _Bytes:
    """Reads little-endian values one after the other."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self._at = data, name, 0

    def take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise InputError(f"{self._name} ends in the middle of a task; it may be truncated")
        self._at += size
        return part

    def number(self) -> int:
        return int(struct.unpack("<I", self.take(4))[0])

    def text(self) -> str:
        return self.take(self.number()).decode("utf-8", "surrogateescape")

    def answers(self) -> tuple[list[str], Sequence[int]]:
        count = self.number()
        if count > MOST_ANSWERS:
            raise InputError(f"{self._name}: a task claims {count} answers; the file is damaged")
        texts = [self.text() for _ in range(count)]
        return texts, struct.unpack(f"<{count}i", self.take(4 * count))


def _binary(data: bytes, name: str) -> list[Choice]:
    source = _Bytes(data, name)
    count = source.number()
    source.take(4 * count)
    tasks = []
    for number in range(count):
        question, (answers, labels), _ = source.text(), source.answers(), source.answers()
        if not question or not answers or not all(answers):
            raise InputError(f"{name}: task {number + 1} has an empty question or answer")
        right = frozenset(i for i, label in enumerate(labels) if label == 1)
        tasks.append(Choice(tuple(f"{question} {answer}" for answer in answers), right))
    if not tasks:
        raise InputError(f"{name} has no tasks")
    return tasks


def read_file(kind: str, path: Path) -> list[Choice]:
    """`read_choices` of a file's bytes."""
    try:
        return read_choices(kind, path.read_bytes(), str(path))
    except OSError as error:
        raise unreadable(path, error) from None
