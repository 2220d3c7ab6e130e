"""Files that appear complete or not at all. Knows nothing of what is written into them.

    with atomic_file("model.gguf") as file:
        file.write(...)

The bytes go to a hidden file in the same folder, reach the disk, and take their name in one step
at the end of the block. An exception inside the block, Ctrl-C included, removes that file again;
an older file of the name stays as it was until the last moment. Only a process killed without
warning leaves its hidden `.zigllm-*.part` behind.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from zigllm_cli.errors import InputError, UsageError, reason_of

BUFFER_SIZE = 1 << 20


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write to, which becomes `path` when the block ends without an exception.

    A symbolic link is followed and stays a link. A device or a pipe is written directly.

    Raises:
        InputError: it cannot be written: no such folder, no permission, disk full, ...
    """
    with AtomicFiles() as files, files.create(path) as file:
        yield file


def check_output(
    path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str] | None] = ()
) -> None:
    """Refuse at the beginning of long work what could not be written at its end.

    Args:
        inputs: files in use, which must not be written to; what is no file does not count.

    Raises:
        InputError: the path is a folder, or one that does not exist would hold it.
        UsageError: it is one of the inputs.
    """
    path = Path(path)
    _is_special(path, path)
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}; make it first")
    refuse_inputs([path], inputs)


def refuse_inputs(paths: Iterable[Path], inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Refuse to write to files that are being read.

    Raises:
        UsageError: a path is an input, by whatever name; devices and pipes may be both.
    """
    used = [
        Path(source).stat() for source in inputs if source is not None and Path(source).exists()
    ]
    for path in paths:
        if path.is_file() and any(os.path.samestat(path.stat(), source) for source in used):
            raise UsageError(f"{path} is the file being read; write to another name")


class AtomicFiles:
    """Several files that appear together, the first one last, when the block ends well.

    with AtomicFiles() as files:
        for path in paths:
            with files.create(path) as file:
                file.write(...)
    """

    def __init__(self) -> None:
        self._pending: list[tuple[Path, Path]] = []

    @contextlib.contextmanager
    def create(self, path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
        """A binary file to write to; at the end of this block its bytes are on the disk.

        Raises:
            InputError: it cannot be written.
        """
        shown, target = Path(path), Path(os.path.realpath(path))
        if _is_special(target, shown):
            with _open(target, "wb", shown) as file:
                yield file
            return
        temporary = target.with_name(f".zigllm-{os.urandom(8).hex()}.part")
        self._pending.append((temporary, target))
        with _open(temporary, "xb", shown) as file:
            yield file
            file.flush()
            with _reported(shown):
                _keep_mode(target, file.fileno())
                os.fsync(file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            for temporary, _ in self._pending:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def _publish(self) -> None:
        """Rename all into place.

        A reader opens the first file of a set and then expects the others, so the first is taken
        away before and put in place after them: at no moment does it stand before a mixture.
        """
        targets = [target for _, target in self._pending]
        is_set = len(targets) > 1
        placed: list[Path] = []
        try:
            if is_set:
                with _reported(targets[0]):
                    targets[0].unlink(missing_ok=True)
            for temporary, target in reversed(self._pending):
                placed.append(target)
                with _reported(target):
                    temporary.replace(target)
        except BaseException:
            for target in placed if is_set else ():
                target.unlink(missing_ok=True)
            raise
        for folder in {target.parent for target in targets}:
            _sync_folder(folder)


class _File(io.FileIO):
    """A raw file whose failed writes name the file the user asked for."""

    shown = Path()

    def write(self, data: Any, /) -> int:
        with _reported(self.shown):
            return super().write(data)


@contextlib.contextmanager
def _open(path: Path, mode: str, shown: Path) -> Iterator[io.BufferedWriter[_File]]:
    with _reported(shown):
        raw = _File(path, mode)
    raw.shown = shown
    file = io.BufferedWriter(raw, BUFFER_SIZE)
    try:
        yield file
    except BaseException:
        # The buffer goes the way of the file: flushing it could only fail a second time.
        with contextlib.suppress(OSError):
            raw.close()
        raise
    with _reported(shown):
        file.close()


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn the system's refusal into a sentence about `path`."""
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        raise InputError(f"cannot write {path}: {reason}") from None


def _is_special(target: Path, shown: Path) -> bool:
    """Whether the target is a device or a pipe, which must not be replaced by a file."""
    with _reported(shown):
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            return False
    if stat.S_ISDIR(mode):
        raise InputError(f"cannot write {shown}: it is a directory; name a file in it")
    return not stat.S_ISREG(mode)


def _keep_mode(target: Path, descriptor: int) -> None:
    """Give the new file the permissions of the one it replaces."""
    with contextlib.suppress(OSError, AttributeError):
        os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))


def _sync_folder(folder: Path) -> None:
    """Make the renames survive a power failure, where the system can do that for a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
