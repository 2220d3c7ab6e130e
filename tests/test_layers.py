"""Imports go one way only, and starting up stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "zigllm_cli"

LAYERS = (
    {"errors", "__init__"},
    {"atomic", "machine", "cluster"},
    {"gguf"},
    {"simd"},
    {"jit"},
    {"tokenizers", "templates", "quants"},
    {"kernels"},
    {"plan"},
    {"models"},
    {"sampling"},
    {"catalog"},
    {"grammar"},
    {"engine"},
    {"model"},
    {"inspection", "evaluate", "chat"},
    {"quantization", "train"},
    {"convert"},
    {"commands"},
    {"app"},
    {"__main__"},
)
"""From the ground up: a module may import from its own layer's part and from those before."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def part_of(module: str) -> str:
    """`zigllm_cli.gguf.reader` belongs to the part `gguf`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def imports_of(path: Path) -> set[str]:
    """Every `zigllm_cli` module that the file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
    return {name for name in found if name.split(".")[0] == "zigllm_cli"}


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports_of(path):
        other = part_of(module)
        if path.name == "__init__.py" and path.parent == PACKAGE:
            continue  # the package itself only names what it loads lazily
        assert other == part or LEVEL[other] < LEVEL[part], f"{part} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), f"{path} has no docstring"


def modules_after(*args: str, stdin: str = "") -> set[str]:
    """What is imported once a command line has run."""
    code = (
        "import sys\nfrom zigllm_cli.app import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-P", "-c", code, *args]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


HEAVY = {"numba", "llvmlite", "gguf"}


@pytest.mark.parametrize(
    "args",
    [
        ("--version",),
        ("--help",),
        ("tokenize", "--help"),
        ("inspect", "--help"),
        ("perplexity", "--help"),
        ("tokenize", "-m", "builtin", "hello"),
        ("inspect", "builtin"),
        ("inspect", "builtin", "--json"),
        ("inspect", "builtin", "--metadata"),
        ("inspect", "builtin", "--tensors"),
        ("inspect", "builtin", "--vocab"),
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(args: tuple[str, ...]) -> None:
    modules = modules_after(*args)
    assert "zigllm_cli.app" in modules
    assert not modules & (HEAVY | {"numpy"})


def test_version_does_without_rich() -> None:
    assert "rich" not in modules_after("--version")


def test_loading_a_tokenizer_needs_no_numba() -> None:
    code = (
        "import sys, zigllm_cli\n"
        "zigllm_cli.load('builtin').tokenizer.encode('hello')\n"
        "zigllm_cli.open_gguf(zigllm_cli.load('builtin').file.path).tensors\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & (HEAVY | {"numpy", "typer"})
