"""Shared fixtures: the conformance kit, a clean environment, the command line as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KIT = Path(os.environ.get("ZIGLLM_KIT", ROOT.parent / "shared" / "kit"))

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def kit() -> Path:
    """The folder of reference data from independent engines; the test is skipped without it."""
    if not KIT.is_dir():
        pytest.skip("the conformance kit is not here (set ZIGLLM_KIT)")
    return KIT


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own settings reaches a test."""
    for name in list(os.environ):
        if name.startswith("ZIGLLM_") and name != "ZIGLLM_KIT":
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def zigllm() -> Run:
    """Run `zigllm ARGS...` as a process and return its exit code, stdout and stderr."""

    def run(*args: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zigllm_cli", *map(str, args)]
        defaults: dict[str, object] = {"capture_output": True, "text": True, "timeout": 120}
        return subprocess.run(command, **{**defaults, **options})  # type: ignore[call-overload]

    return run
