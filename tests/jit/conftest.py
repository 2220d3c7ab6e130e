"""Kernels run in processes of their own, with a cache of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zigllm_cli.jit import Kernel

Answer = dict[str, Any]
Start = Callable[..., "subprocess.Popen[str]"]

X = np.arange(-4, 4, 0.5, dtype=np.float32)
EXPECTED = {
    "relu": np.maximum(X, 0).tolist(),
    "relu_squared": (np.maximum(X, 0) ** 2).tolist(),
}
"""Two kernels that are quickly compiled and exact."""


@pytest.fixture(scope="session")
def expected() -> dict[str, list[float]]:
    """What kernels give for the numbers of `run_activations.py`."""
    return EXPECTED


@pytest.fixture
def cache_root(tmp_path: Path) -> Path:
    """An empty cache."""
    return tmp_path / "cache"


@pytest.fixture
def start(cache_root: Path) -> Start:
    """start(*names, **environment): `run_activations.py` as a process."""

    def run(*names: str, **environment: str) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("run_activations.py")
        variables = {**os.environ, "ZIGLLM_CACHE": str(cache_root), **environment}
        return subprocess.Popen(
            [sys.executable, str(script), *names],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.fixture
def finish() -> Callable[[subprocess.Popen[str]], Answer]:
    """finish(process): its answer, once it has ended well."""

    def answer(process: subprocess.Popen[str]) -> Answer:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        result: Answer = json.loads(out)
        return result

    return answer


@pytest.fixture(scope="session")
def relu() -> Kernel:
    """The kernel behind `relu`."""
    return Kernel("silu_mul", ("relu", 0))
