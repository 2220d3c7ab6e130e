"""Conversations on disk: a file of JSON lines each, in a folder that is the user's alone.

    {"type": "chat", "schema": "zigllm.chat/1", "id": ..., "model": ..., "created": ...}
    {"type": "system", "content": "..."}                          the system prompt was set
    {"type": "message", "role": "user", "content": "...", "time": ...}
    {"type": "cut", "length": 3}                                  messages from there on are gone
    {"type": "model", "model": "..."}                             another one from here on
    {"type": "kv", "pieces": [[9, 4], ...], ...}                  what the .kv file beside it holds

Lines are only ever appended. A line that was cut off, because the process was killed while it
wrote, is not there: it is overwritten by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from zigllm_cli.catalog import state_folder
from zigllm_cli.catalog.folders import PRIVATE_FILE, private_folder
from zigllm_cli.chat.conversation import USER, Conversation
from zigllm_cli.errors import InputError, UsageError, reason_of

SCHEMA = "zigllm.chat/1"


def folder() -> Path:
    """Where conversations lie."""
    return state_folder() / "sessions"


class LogFile:
    """One conversation's file, open to append to; made when the first line is written.

    Attributes:
        id: the conversation's name.
        path: the file; what the engine remembers lies beside it as `kv`.
    """

    def __init__(self, name: str, head: dict[str, Any] | None = None) -> None:
        self.id = name
        self.path = folder() / f"{name}.jsonl"
        self._head = head
        self._file: BinaryIO | None = None

    @property
    def kv(self) -> Path:
        """The file of the engine's state."""
        return self.path.with_suffix(".kv")

    @property
    def exists(self) -> bool:
        """Whether anything was written."""
        return self.path.is_file()

    def write(self, event: dict[str, Any]) -> None:
        """Append a line and see to it that it reaches the disk.

        Raises:
            InputError: it can't be written, or another process writes to it.
        """
        if self._file is None:
            self._file = self._open()
        line = {**event, "time": _now()} if event["type"] == "message" else event
        try:
            self._file.write(
                json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            )
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def close(self) -> None:
        """Let another process write."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        try:
            private_folder(self.path.parent)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
            file = os.fdopen(descriptor, "r+b", buffering=0)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        _lock(file, self.path)
        text = file.read()
        file.truncate(text.rfind(b"\n") + 1)
        if not text and self._head is not None:
            head = {
                "type": "chat",
                "schema": SCHEMA,
                "id": self.id,
                **self._head,
                "created": _now(),
            }
            file.write(json.dumps(head, ensure_ascii=False).encode("utf-8") + b"\n")
        return file


def _lock(file: Any, path: Path) -> None:
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise InputError(
                f"the conversation {path.stem} is open in another process; end that one first"
            ) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {reason_of(error)}")


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def new_id() -> str:
    """A name that sorts by time."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Saved:
    """A conversation as it stands on disk.

    Attributes:
        id: its name.
        head: the first line.
        conversation: its messages.
        modified: when it was last written to, in seconds since 1970.
        kv_size: bytes of the engine's state beside it; 0 for none.
        kv: what the log says of it.
    """

    id: str
    head: dict[str, Any]
    conversation: Conversation
    modified: float
    kv_size: int
    kv: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        """The first question."""
        asked = (m["content"] for m in self.conversation.messages if m["role"] == USER)
        return " ".join(str(next(asked, "")).split())


def read(path: Path) -> Saved:
    """A conversation's file.

    Raises:
        InputError: it can't be read, or a line of it is damaged.
    """
    try:
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")
        status = path.stat()
    except OSError as error:
        reason = reason_of(error)
        raise InputError(f"cannot read the conversation {path}: {reason}") from None
    conversation, head = Conversation(), {}
    state: dict[str, Any] | None = None
    for number, line in enumerate(lines[:-1], 1):
        try:
            event = json.loads(line)
            if event["type"] == "chat":
                head = event
            elif event["type"] == "model":
                head = {**head, "model": event["model"]}
            elif event["type"] == "kv":
                state = event
            conversation.apply(event)
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is damaged in line {number}; remove that line") from None
    kv = path.with_suffix(".kv")
    size = kv.stat().st_size if kv.is_file() else 0
    return Saved(path.stem, head, conversation, status.st_mtime, size, state)


def every() -> Iterator[Saved]:
    """All conversations that can be read, the last one first."""
    paths = sorted(folder().glob("*.jsonl"), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in paths:
        with contextlib.suppress(InputError):
            yield read(path)


def find(name: str | None) -> Saved:
    """The conversation of this name, or of the only one that begins so; None: the last one.

    Raises:
        UsageError: there is none, or more than one.
    """
    names = sorted(path.stem for path in folder().glob("*.jsonl"))
    if name is None:
        saved = next(every(), None)
        if saved is None:
            raise UsageError("there is no conversation to go on with yet")
        return saved
    found = [name] if name in names else [known for known in names if known.startswith(name)]
    if len(found) != 1:
        what = "no conversation" if not found else f"{len(found)} conversations"
        raise UsageError(f"{what} by the name of {name!r}; see 'zigllm sessions ls'")
    return read(folder() / f"{found[0]}.jsonl")


def remove(saved: Saved) -> None:
    """Delete a conversation, and what the engine remembers of it."""
    path = folder() / f"{saved.id}.jsonl"
    for file in (path, path.with_suffix(".kv")):
        file.unlink(missing_ok=True)
