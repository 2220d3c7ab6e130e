"""The cache of compiled kernels: found again, never stale, never harmful."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zigllm_cli.jit import Kernel, cache, compile_missing
from zigllm_cli.jit import kernel as kernels

Start = Callable[..., "subprocess.Popen[str]"]
Finish = Callable[["subprocess.Popen[str]"], dict[str, Any]]
Expected = dict[str, list[float]]


def test_second_process_needs_no_numba(start: Start, finish: Finish, expected: Expected) -> None:
    first, second = finish(start("relu")), finish(start("relu"))
    assert first["numba"]
    assert not second["numba"]
    assert first["relu"] == second["relu"] == expected["relu"]


def test_kernels_of_two_processes_together(
    start: Start, finish: Finish, expected: Expected
) -> None:
    """Numba numbers functions from 1 in each process: equal names must not meet in the third."""
    for process in [start("relu"), start("relu_squared")]:
        assert finish(process)["numba"]
    both = finish(start("relu", "relu_squared"))
    assert both == {"numba": False, **expected}


def test_two_processes_compile_the_same(
    start: Start, finish: Finish, expected: Expected, cache_root: Path
) -> None:
    for process in [start("relu"), start("relu")]:
        assert finish(process)["relu"] == expected["relu"]
    assert [path.name for path in kept(cache_root)] == ["silu_mul-relu-0.o"]
    assert not finish(start("relu"))["numba"]


def kept(root: Path) -> list[Path]:
    """All files of a cache."""
    return [path for path in root.rglob("*") if path.is_file()]


def test_damaged_file_is_compiled_again(
    start: Start, finish: Finish, expected: Expected, cache_root: Path
) -> None:
    finish(start("relu"))
    (path,) = kept(cache_root)
    whole = path.read_bytes()
    for damaged in (whole[:-1], b"", whole[:200] + bytes(64) + whole[264:]):
        path.write_bytes(damaged)
        assert finish(start("relu")) == {"numba": True, "relu": expected["relu"]}
        assert path.read_bytes() == whole


def test_folder_that_cannot_be_written(
    start: Start, finish: Finish, expected: Expected, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    answer = finish(start("relu", ZIGLLM_CACHE=str(tmp_path / "file" / "cache")))
    assert answer["relu"] == expected["relu"]


@pytest.fixture
def stored(cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a kernel `k` with the code `machine code`."""
    monkeypatch.setenv("ZIGLLM_CACHE", str(cache_root))
    cache.write("k", b"machine code")
    assert cache.read("k") == b"machine code"
    return cache.folder() / "k.o"


@pytest.mark.parametrize("length", [0, 1, 11, 12, 31, 32, 43])
def test_truncated_file_is_not_read(stored: Path, length: int) -> None:
    stored.write_bytes(stored.read_bytes()[:length])
    assert cache.read("k") is None


@pytest.mark.parametrize("place", [0, 11, 12, 43])
def test_changed_byte_is_noticed(stored: Path, place: int) -> None:
    content = bytearray(stored.read_bytes())
    content[place] ^= 1
    stored.write_bytes(content)
    assert cache.read("k") is None


def test_file_with_more_behind_it_is_not_read(stored: Path) -> None:
    stored.write_bytes(stored.read_bytes() + b"\0")
    assert cache.read("k") is None


def test_file_of_another_kernel_is_not_read(stored: Path) -> None:
    shutil.copy(stored, stored.with_name("other.o"))
    assert cache.read("other") is None


def test_file_of_another_user_is_not_read(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = SimpleNamespace(st_uid=os.getuid() + 1)
    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "fstat", lambda _: stranger)
        assert cache.read("k") is None
    assert cache.read("k")


def test_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert str(os.getuid()) in cache.root().name


@pytest.fixture
def copied_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, which the hash is taken of."""
    copy = tmp_path / "zigllm_cli"
    shutil.copytree(cache.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "PACKAGE", copy)
    return copy


def fingerprint() -> str:
    """The hash as it is now."""
    return cache.fingerprint.__wrapped__()


@pytest.mark.parametrize(
    "name",
    ["simd/dot.py", "kernels/rows.py", "quants/q4_0.py", "jit/compile.py", "gguf/types.py"],
)
def test_fingerprint_of_a_changed_file(copied_package: Path, name: str) -> None:
    before = fingerprint()
    path = copied_package / name
    source = path.read_bytes()
    path.write_bytes(source + b"\n")
    assert fingerprint() != before
    path.write_bytes(source)
    assert fingerprint() == before


def test_fingerprint_of_files_come_gone_and_renamed(copied_package: Path) -> None:
    before = fingerprint()
    new = copied_package / "kernels" / "new.py"
    new.touch()
    came = fingerprint()
    renamed = new.rename(new.with_name("renamed.py"))
    assert len({before, came, fingerprint()}) == 3
    renamed.unlink()
    assert fingerprint() == before


def test_fingerprint_ignores_the_rest(copied_package: Path) -> None:
    before = fingerprint()
    with (copied_package / "app.py").open("a") as file:
        file.write("# changed")
    assert fingerprint() == before


@pytest.mark.parametrize(
    "question", ["version", "current", "target"], ids=["versions", "instruction set", "CPU"]
)
def test_fingerprint_of_the_surroundings(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    other = {
        "version": lambda _: "0.0",
        "current": lambda: SimpleNamespace(name="another"),
        "target": lambda: ("another", ""),
    }
    monkeypatch.setattr(cache, question, other[question])
    assert fingerprint() != before


def test_fingerprint_covers_what_kernels_are_made_of() -> None:
    """No module of the package that kernels import is missing from the hash."""
    code = """if True:
        import pkgutil, sys
        from importlib import import_module
        for name in ("kernels", "quants", "simd"):
            package = import_module(f"zigllm_cli.{name}")
            for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
                import_module(module.name)
        for name, module in sys.modules.items():
            if name.startswith("zigllm_cli"):
                print(module.__file__)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    paths = {path for pattern in cache.SOURCES for path in cache.PACKAGE.glob(pattern)}
    hashed = {path.relative_to(cache.PACKAGE).as_posix() for path in paths}
    # the process may have found another copy of the package: only names within it count
    used = {line.rpartition("zigllm_cli/")[2] for line in done.stdout.split()}
    assert used & hashed
    others = used - hashed
    readers = {name for name in others if name.startswith("gguf/")}  # come with gguf/types.py
    assert others - readers <= {"__init__.py", "errors.py", "atomic.py"}


def test_compile_missing(monkeypatch: pytest.MonkeyPatch, cache_root: Path) -> None:
    monkeypatch.setenv("ZIGLLM_CACHE", str(cache_root))
    monkeypatch.setattr(kernels, "address", lambda kernel: cache.write(kernel.name, b"code"))
    wanted = [Kernel("rows", ("Q8_0", 0)), Kernel("embed", ("F16",)), Kernel("rows", ("Q8_0", 0))]
    told: list[tuple[int, int]] = []
    assert compile_missing(wanted, lambda *progress: told.append(progress)) == 2
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert compile_missing(wanted, lambda *progress: told.append(progress)) == 0
    assert len(told) == 3
