"""A record: a file of figures, chunk by chunk, that grows while a text is evaluated.

    {"schema": "zigllm.perplexity-record/1", "model": ..., "text": ..., ...}     what was evaluated
    {"number": 0, "checksum": ..., "count": 255, "nll": ..., ...}                a line per chunk
    {"windows": 335}                                                             when all are done

The state of a long run, the part that one machine of several works on, and what is merged are all
this. A line is written whole or, by a process that is killed, cut off at the end of the file;
such a line is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from heapq import merge
from pathlib import Path
from typing import Any, BinaryIO

from zigllm_cli.errors import InputError, unreadable
from zigllm_cli.evaluate.chunks import Chunk, from_json, to_json

SCHEMA = "zigllm.perplexity-record/1"


@dataclass(frozen=True)
class Subject:
    """What was evaluated, and how: records of one subject belong together.

    Attributes:
        model: fingerprint of the file.
        name: of the file; the only part that may differ.
        text: digest of its beginning.
        windows: how it was cut, as `Windowing.name` has it.
        limit: most windows.
        kv_type: of the cache.
        base: fingerprint of the base model or digest of its logits.
        tokens: whether each token's figures are there.
        shard: which one, from 1, of how many.
    """

    model: str
    name: str
    text: str
    windows: str
    limit: int | None
    kv_type: str
    base: str | None
    tokens: bool
    shard: tuple[int, int] = (1, 1)

    def difference(self, other: Subject, *, but: Sequence[str] = ()) -> str | None:
        """The first field in which two differ."""
        for field in fields(self):
            same = getattr(self, field.name) == getattr(other, field.name)
            if not same and field.name not in ("name", *but):
                return field.name
        return None


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"


class RecordWriter:
    """Writes a record to a file, each line at once.

    Args:
        file: binary, at its end.
        subject: written first; None where the file has it already.
    """

    def __init__(self, file: BinaryIO, subject: Subject | None) -> None:
        self._file = file
        if subject is not None:
            self._write({"schema": SCHEMA, **asdict(subject)})

    def add(self, chunk: Chunk) -> None:
        """The next chunk's line."""
        self._write(to_json(chunk))

    def end(self, windows: int) -> None:
        """The last line: how many windows the text has, those of other shards included."""
        self._write({"windows": windows})

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(_line(values))
        self._file.flush()


class RecordReader:
    """Reads a record.

    Attributes:
        path: of the file.
        subject: what was evaluated.
        windows: of the text, known once the chunks were read to the end; None if it was not
            evaluated to its end.
        size: bytes of whole lines, likewise.

    Raises:
        InputError: unreadable, or no record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.windows: int | None = None
        try:
            with path.open("rb") as file:
                head = file.readline(1 << 16)
        except OSError as error:
            raise unreadable(path, error) from None
        try:
            values = json.loads(head)
            if values.pop("schema") != SCHEMA or not head.endswith(b"\n"):
                raise ValueError(SCHEMA)
            values["shard"] = tuple(values["shard"])
            self.subject = Subject(**values)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InputError(
                f"{path} is no record of a perplexity; make one with --state or --shard"
            ) from None
        self._head = self.size = len(head)

    def __iter__(self) -> Iterator[Chunk]:
        """Its chunks, in the order of their numbers.

        Raises:
            InputError: a line is damaged.
        """
        last, self.size, self.windows = -1, self._head, None
        with self.path.open("rb") as file:
            file.readline()
            for number, line in enumerate(file, 2):
                if not line.endswith(b"\n"):
                    return  # cut off by a kill
                try:
                    values = json.loads(line)
                    if set(values) == {"windows"}:
                        self.windows = int(values["windows"])
                        self.size += len(line)
                        continue
                    chunk = from_json(values)
                    if chunk.number <= last or self.windows is not None:
                        raise ValueError("out of order")
                except (ValueError, TypeError, KeyError, AttributeError):
                    raise InputError(f"{self.path} is damaged in line {number}") from None
                last = chunk.number
                self.size += len(line)
                yield chunk


def merged(records: Sequence[RecordReader]) -> Iterator[Chunk]:
    """The chunks of several records of one subject, in order and without gaps.

    Raises:
        InputError: they do not belong together, one is not finished, or a chunk is missing.
    """
    first = records[0]
    for record in records[1:]:
        difference = first.subject.difference(record.subject, but=["shard"])
        if difference is not None:
            raise InputError(
                f"{first.path} and {record.path} do not belong together: {difference} differs"
            )
    following = 0
    for chunk in merge(*records, key=lambda chunk: chunk.number):
        if chunk.number < following:
            raise InputError(f"chunk {chunk.number + 1} is in two records; give each part once")
        if chunk.number > following:
            raise InputError(_missing(following, records))
        following += 1
        yield chunk
    for record in records:
        if record.windows is None:
            raise InputError(f"{record.path} is not finished; run its shard to the end first")
        if record.windows != first.windows:
            raise InputError(f"{first.path} and {record.path} were made from different texts")
    if following != first.windows:
        raise InputError(_missing(following, records))


def _missing(number: int, records: Sequence[RecordReader]) -> str:
    shards = records[0].subject.shard[1]
    return (
        f"chunk {number + 1} is missing: it belongs to shard {number % shards + 1}/{shards}, "
        "which is not among the parts or not finished"
    )
