"""Fixtures: convert as the command does, and ask the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_runs import logits, runner
from numpy.typing import NDArray

from zigllm_cli.convert.conversion import Options
from zigllm_cli.convert.source import read_source
from zigllm_cli.convert.types import chosen_type, decide_types
from zigllm_cli.convert.verify import verify
from zigllm_cli.convert.write import write_conversion

Convert = Callable[..., Path]


@pytest.fixture
def converted(tmp_path: Path) -> Convert:
    """Convert a source to F32, read it back and compare; returns the new file."""

    def convert(source: Path, type_name: str = "f32", **options: Any) -> Path:
        conversion = read_source(source, Options(**options))
        decisions = decide_types(conversion, chosen_type(conversion, type_name))
        target = tmp_path / "converted.gguf"
        write_conversion(conversion, target, decisions, threads=2)
        verify(conversion, decisions, target)
        return target

    return convert


@pytest.fixture
def engine_logits() -> Callable[[Path, Sequence[int]], NDArray[np.float32]]:
    """What our engine says of a file, all positions."""

    def ask(path: Path, tokens: Sequence[int]) -> NDArray[np.float32]:
        with runner(path, context=32) as run:
            return np.array(logits(run, tokens, len(tokens)))

    return ask
