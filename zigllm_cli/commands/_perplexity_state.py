"""The state of a long evaluation: a record that is gone on with after whatever ended the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zigllm_cli.errors import InputError, reason_of
from zigllm_cli.evaluate.chunks import Chunk, checksum
from zigllm_cli.evaluate.records import RecordReader, RecordWriter, Subject
from zigllm_cli.evaluate.windows import Window


class State:
    """A record on disk, new or begun.

    Raises:
        InputError: the file is something else, or of another evaluation.
    """

    def __init__(self, path: Path, subject: Subject) -> None:
        self._path, self._subject = path, subject
        self._reader: RecordReader | None = None
        if path.exists() and not _is_unborn(path):
            self._reader = RecordReader(path)
            difference = subject.difference(self._reader.subject)
            if difference is not None:
                raise InputError(
                    f"{path} is the state of another evaluation: {difference} differs; "
                    "give --state another file, or the same options as before"
                )

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do; known once `known` was read to its end."""
        return self._reader is not None and self._reader.windows is not None

    def known(self, windows: Iterator[Window]) -> Iterator[Chunk]:
        """The chunks of earlier runs; their windows are taken from `windows`.

        Raises:
            InputError: the text has changed.
        """
        for chunk in self._reader or ():
            window = next(windows, None)
            if window is None or (window.number, checksum(window)) != (
                chunk.number,
                chunk.checksum,
            ):
                raise InputError(
                    f"{self._path} is of another text: chunk {chunk.number + 1} differs"
                )
            yield chunk

    @contextmanager
    def writer(self) -> Iterator[RecordWriter]:
        """Goes on behind the last whole line.

        Raises:
            InputError: it cannot be written.
        """
        begun = self._reader is not None
        try:
            file = self._path.open("r+b" if begun else "wb")
        except OSError as error:
            reason = reason_of(error)
            raise InputError(f"cannot write {self._path}: {reason}") from None
        with file:
            if self._reader is not None:
                file.truncate(self._reader.size)
                file.seek(0, 2)
            yield RecordWriter(file, None if begun else self._subject)


def _is_unborn(path: Path) -> bool:
    """Whether a run was killed before it had written the first line."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return b"\n" not in head and b'{"schema":"zigllm.perplexity-record'.startswith(head[:35])
