"""exp as torch computes it, against answers that torch gave, and against torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zigllm_cli.convert.hf.exponential import NORMAL, torch_exp

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

ANSWERS = {
    "-0x1.c5b9c2p+0": "0x1.5c0488p-3",
    "0x1.bf610ap+1": "0x1.07a43cp+5",
    "0x1.2f4b5ap+1": "0x1.56241ap+3",
    "0x1.b9e990p+1": "0x1.f93cdap+4",
    "-0x1.7c42b4p+1": "0x1.a3f258p-5",
    "-0x1.7b9de2p-2": "0x1.6166d2p-1",
    "-0x1.037df2p+1": "0x1.0db51ep-3",
    "0x1.48c3aap+1": "0x1.a177b8p+3",
    "-0x1.c16af8p+1": "0x1.e94dc8p-6",
    "0x1.34ed52p+2": "0x1.f35604p+6",
}
"""What torch makes of numbers whose exponential it rounds wrongly."""


def test_errors_are_those_of_torch() -> None:
    x = np.array([float.fromhex(number) for number in ANSWERS])
    wanted = [float.fromhex(answer) for answer in ANSWERS.values()]
    found = torch_exp(x.astype(np.float32))
    np.testing.assert_array_equal(found, wanted)
    assert (found != np.exp(x).astype(np.float32)).all()


def test_at_most_0_56_units_off() -> None:
    x = np.random.default_rng(3).uniform(-NORMAL, NORMAL, 200_000).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    off = np.abs(torch_exp(x) - exact) / np.spacing(exact.astype(np.float32))
    assert 0.5 < off.max() < 0.56


@pytest.mark.filterwarnings("error")
def test_ends() -> None:
    x = np.array([0, -0.0, 88.8, 3e38, np.inf, -104, -3e38, -np.inf, np.nan, 1e-45], np.float32)
    wanted = [1, 1, np.inf, np.inf, np.inf, 0, 0, 0, np.nan, 1]
    np.testing.assert_array_equal(torch_exp(x), np.array(wanted, np.float32))


@pytest.mark.oracle
def test_as_torch() -> None:
    """One float in a few thousand; the script itself takes all of them."""
    script = [sys.executable, SCRIPTS / "compare_exp_with_torch.py", "--every", "4093"]
    env = os.environ | {"PYTHONPATH": str(SCRIPTS.parent)}
    run = subprocess.run(script, env=env, capture_output=True, text=True, check=True)
    assert run.stdout == f"{-(-(1 << 32) // 4093)} floats compared, 0 differ\n"
