"""The tests of operations again, under every other instruction set of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from zigllm_cli.simd.isa import ISAS, current, host_features

HERE = Path(__file__).parent
NOT_AGAIN = {Path(__file__).name, "test_isa.py"}
FILES = [
    *(str(path) for path in HERE.glob("test_*.py") if path.name not in NOT_AGAIN),
    str(HERE.parent / "kernels" / "test_math.py"),
]
OTHERS = [
    isa.name for isa in ISAS if host_features().issuperset(isa.needs) and isa.name != current().name
]

Done = subprocess.CompletedProcess[str]


def run(isa: str) -> Done:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES]
    environment = {**os.environ, "ZIGLLM_ISA": isa}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[Done]]]:
    """A process for each, two at a time: they compile most of the time."""
    with ThreadPoolExecutor(2) as pool:
        yield {isa: pool.submit(run, isa) for isa in OTHERS}


@pytest.mark.slow
@pytest.mark.parametrize("isa", OTHERS)
def test_operations(runs: dict[str, Future[Done]], isa: str) -> None:
    done = runs[isa].result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
