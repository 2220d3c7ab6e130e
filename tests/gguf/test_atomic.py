"""Files appear complete or not at all: full disks, Ctrl-C, kill -9, links and devices."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zigllm_cli import atomic
from zigllm_cli.atomic import AtomicFiles, atomic_file
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.gguf.edit import copy_gguf
from zigllm_cli.gguf.writer import write_gguf

Raw = Callable[..., bytes]
ROOT = Path(__file__).resolve().parents[2]

# Writes 64 tensors of 1 MiB, slowly, and says when the first is on its way.
WRITER = """
import sys, time
from zigllm_cli.gguf import tensor_type
from zigllm_cli.gguf.writer import TensorPlan, write_gguf

def chunks():
    print("writing", flush=True)
    time.sleep(float(sys.argv[2]))
    yield b"n" * (1 << 20)

tensors = [TensorPlan(str(i), (1 << 20,), tensor_type("I8"), chunks) for i in range(64)]
options = {"split_max_tensors": 8} if len(sys.argv) > 3 else {}
write_gguf(sys.argv[1], [], tensors, **options)
"""


def start_writer(
    target: Path, pause: float, *more: str, **options: object
) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", WRITER, str(target), str(pause), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        **options,
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- the block ends well ---


@pytest.mark.parametrize("old", [None, b"old"])
def test_file_appears_at_the_end(old: bytes | None, tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    if old is not None:
        target.write_bytes(old)
    with atomic_file(target) as file:
        file.write(b"new")
        file.write(b" content")
        assert (target.read_bytes() if target.exists() else None) == old
    assert content(tmp_path) == {"a.bin": b"new content"}


def test_permissions(tmp_path: Path) -> None:
    old_mask = os.umask(0o027)
    try:
        for name in ("new", "old"):
            if name == "old":
                (tmp_path / name).touch()
                (tmp_path / name).chmod(0o604)
            with atomic_file(tmp_path / name):
                pass
    finally:
        os.umask(old_mask)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")]
    assert modes == [0o640, 0o604]


@pytest.mark.parametrize("exists", [True, False])
def test_link_is_followed_and_stays(exists: bool, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/file")
    if exists:
        (tmp_path / "far" / "file").write_bytes(b"old")
    with atomic_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "far") == {"file": b"new"}


def test_longest_possible_name(tmp_path: Path) -> None:
    with atomic_file(tmp_path / ("x" * 255)) as file:
        file.write(b"new")
    assert list(content(tmp_path).values()) == [b"new"]


def test_device_and_pipe_are_written_directly(tmp_path: Path) -> None:
    with atomic_file(os.devnull) as file:
        file.write(b"gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    os.mkfifo(tmp_path / "pipe")
    code = f"from pathlib import Path; print(Path({str(tmp_path / 'pipe')!r}).read_bytes())"
    reader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with atomic_file(tmp_path / "pipe") as file:
        file.write(b"through")
    assert reader.communicate(timeout=20)[0] == "b'through'\n"


def test_several_files_appear_together(tmp_path: Path) -> None:
    with AtomicFiles() as files:
        for name in ("a", "b", "c"):
            with files.create(tmp_path / name) as file:
                file.write(name.encode())
            assert not [path for path in tmp_path.iterdir() if path.name[0] != "."]
    assert content(tmp_path) == {"a": b"a", "b": b"b", "c": b"c"}


# --- it does not ---


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_exception_leaves_nothing(error: BaseException, tmp_path: Path) -> None:
    def write(target: Path) -> None:
        with AtomicFiles() as files:
            with files.create(tmp_path / "first") as file:
                file.write(b"complete")
            with files.create(target) as file:
                file.write(b"half" * 1_000_000)
                raise error

    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        with pytest.raises(type(error)) as caught:
            write(tmp_path / name)
        assert caught.value is error
        assert content(tmp_path) == {"old": b"old"}


@pytest.mark.parametrize("failing", ["first", "third"])
def test_set_that_cannot_be_completed_is_taken_away(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target.name == failing:
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InputError, match=f"cannot write .*{failing}: input/output error"):
        write_set(tmp_path)
    assert content(tmp_path) == {}


def write_set(folder: Path) -> None:
    with AtomicFiles() as files:
        for name in ("first", "second", "third"):
            with files.create(folder / name) as file:
                file.write(b"x")


def test_folders_and_impossible_places(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target, reason in (
        (tmp_path, "it is a directory"),
        (tmp_path / "none" / "x", "no such file or directory"),
        (tmp_path / "file" / "x", "not a directory"),
        (tmp_path / ("x" * 256), "file name too long"),
    ):
        with (
            pytest.raises(InputError, match=f"cannot write {target}: {reason}"),
            atomic_file(target),
        ):
            pass
    assert list(content(tmp_path)) == ["file"]


def test_other_peoples_errors_are_not_renamed(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError), atomic_file(tmp_path / "x"):
        raise TimeoutError("the network")


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_full_disk(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small writes fail when the buffer is flushed, large ones at once."""

    class FullDisk(io.FileIO):
        def write(self, data: object, /) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    class File(atomic._File, FullDisk):
        pass

    monkeypatch.setattr(atomic, "_File", File)
    (tmp_path / "old").write_bytes(b"old")
    with (
        pytest.raises(InputError, match=r"cannot write .*old: no space left on device"),
        atomic_file(tmp_path / "old") as file,
    ):
        file.write(bytes(size))
    assert content(tmp_path) == {"old": b"old"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("size", [10, 10_000_000])
def test_full_device(size: int) -> None:
    with (
        pytest.raises(InputError, match="cannot write /dev/full: no space left on device"),
        atomic_file("/dev/full") as file,
    ):
        file.write(bytes(size))
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_gguf_to_a_full_device(tmp_path: Path, raw_gguf: Raw) -> None:
    (tmp_path / "a.gguf").write_bytes(raw_gguf())
    with pytest.raises(InputError, match="no space left"):
        copy_gguf(open_gguf(tmp_path / "a.gguf"), "/dev/full")


def test_limit_of_the_system_on_file_size(tmp_path: Path) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, 5 << 20))

    (tmp_path / "old.gguf").write_bytes(b"old")
    process = start_writer(tmp_path / "old.gguf", 0, preexec_fn=limit)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "InputError: cannot write" in errors
    assert "file too large" in errors
    assert content(tmp_path) == {"old.gguf": b"old"}


# --- signals ---


@pytest.fixture(params=["absent", "old"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    if request.param == "old":
        write_gguf(path, [], [])
    return path


@pytest.mark.parametrize("split", [(), ("split",)])
def test_ctrl_c_leaves_nothing_behind(split: tuple[str, ...], target: Path) -> None:
    before = content(target.parent)
    process = start_writer(target, 0.02, *split)
    assert process.stdout is not None
    for _ in range(12):
        assert process.stdout.readline() == "writing\n"
    assert len(content(target.parent)) > len(before)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert content(target.parent) == before


@pytest.mark.parametrize("moment", range(6))
def test_killed_at_any_moment(moment: int, target: Path) -> None:
    """The target is what it was, or complete; only hidden files may stay behind."""
    before = target.read_bytes() if target.exists() else None
    process = start_writer(target, 0)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(random.Random(moment).uniform(0, 0.25))
    process.kill()
    process.communicate(timeout=60)
    after = target.read_bytes() if target.exists() else None
    if after != before:
        assert len(open_gguf(target).tensors) == 64
    others = [path.name for path in target.parent.iterdir() if path != target]
    assert all(name.startswith(".zigllm-") and name.endswith(".part") for name in others)


@pytest.mark.parametrize("moment", range(4))
def test_killed_while_writing_a_set(moment: int, tmp_path: Path) -> None:
    process = start_writer(tmp_path / "m.gguf", 0, "split")
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(random.Random(moment).uniform(0, 0.25))
    process.kill()
    process.communicate(timeout=60)
    first = tmp_path / "m-00001-of-00008.gguf"
    if first.exists():
        assert len(open_gguf(first).tensors) == 64
