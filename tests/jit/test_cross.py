"""Kernels for ARM, compiled here but never run (there is no such machine): their code is read."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from zigllm_cli.errors import InputError
from zigllm_cli.jit import Kernel
from zigllm_cli.jit.cross import assembly

DOT_PRODUCT = (
    Kernel("rows", ("Q4_0", 0)),
    Kernel("panels", ("Q4_0",)),
    Kernel("activations", ("Q4_0",)),
)
OTHERS = (
    Kernel("float_rows", ("F16", 0)),
    Kernel("attention", ("decode", "f16", "f16", 4)),
    Kernel("rows", ("IQ3_S", 0)),
    Kernel("serve"),
)


@pytest.fixture(scope="module")
def neon() -> dict[Kernel, str]:
    """The assembly of every kernel."""
    kernels = (*DOT_PRODUCT, *OTHERS)
    texts = assembly("neon", *kernels)
    return dict(zip(kernels, texts, strict=True))


def instructions(text: str) -> list[list[str]]:
    """Lines of assembly that are neither labels, directives nor comments, cut at blanks."""
    lines = (line.split("//")[0].strip() for line in text.splitlines())
    return [re.split(r"[\s,]+", line) for line in lines if line and not re.match(r"\.|.*:$", line)]


@pytest.mark.parametrize("kernel", DOT_PRODUCT, ids=lambda kernel: kernel.name)
def test_products_use_the_dot_product(neon: dict[Kernel, str], kernel: Kernel) -> None:
    assert ["sdot"] in [words[:1] for words in instructions(neon[kernel])]


def test_halves_are_widened_by_an_instruction(neon: dict[Kernel, str]) -> None:
    names = {words[0] for words in instructions(neon[Kernel("float_rows", ("F16", 0))])}
    assert {"fcvtl", "fmla"} <= names


def test_waiting_yields(neon: dict[Kernel, str]) -> None:
    assert ["yield"] in instructions(neon[Kernel("serve")])


@pytest.mark.parametrize("kernel", [*DOT_PRODUCT, *OTHERS], ids=lambda kernel: kernel.name)
def test_nothing_is_called(neon: dict[Kernel, str], kernel: Kernel) -> None:
    """No x86 intrinsic is left, nor a function of some run-time library."""
    words = instructions(neon[kernel])
    assert ["ret"] in words
    assert not re.search(r"x86|avx|zmm|ymm", str(words))
    own = set(re.findall(r'^"?([^\s":.][^\s":]*)"?:', neon[kernel], re.MULTILINE))
    called = {line[1] for line in words if line[0] == "bl"}
    assert called - own <= {"memcpy", "memset", "memmove"}


def test_x86_from_the_command_line() -> None:
    command = [sys.executable, "-m", "zigllm_cli.jit.cross", "avxvnni", "rows-Q4_0-0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "vpdpbusd" in done.stdout
    assert "ymm" in done.stdout
    assert "zmm" not in done.stdout


def test_unknown_instruction_set() -> None:
    with pytest.raises(InputError, match="mmx is not an instruction set: use avx512, avxvnni, "):
        assembly("mmx", Kernel("serve"))
