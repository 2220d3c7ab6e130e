"""Speed and memory of a generation, for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from zigllm_cli.commands._output import human_bytes, talk

if TYPE_CHECKING:
    from zigllm_cli.engine.generation import Timings
    from zigllm_cli.engine.runner import Runner


def memory(runner: Runner) -> dict[str, int]:
    """Bytes by use, and the most that the process ever had in memory."""
    return {**runner.memory, "peak": peak_memory()}


def peak_memory() -> int:
    """The most bytes that this process had in memory, mapped files included; 0 if unknown."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return 0
    peak = getrusage(RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def show_stats(timings: Timings, runner: Runner, *, seed: int | None, reason: str | None) -> None:
    """A few lines on stderr."""
    sizes = memory(runner)
    parts = ", ".join(f"{name} {human_bytes(size)}" for name, size in sizes.items())
    rows = [
        ("load", f"{timings.load:.3f} s"),
        ("prefill", _rate(timings.prefill_tokens, timings.prefill, timings.prefill_rate)),
        ("decode", _rate(timings.decode_tokens, timings.decode, timings.decode_rate)),
    ]
    if timings.first_token:
        rows.append(("first token", f"after {timings.first_token:.3f} s"))
    if timings.drafted:
        share = timings.accepted / timings.drafted
        guessed = f"{timings.accepted} of {timings.drafted} guesses came true, {share:.0%}"
        rows.append(("drafted", guessed))
    rows += [("memory", parts), ("threads", str(runner.threads))]
    if seed is not None:
        rows.append(("seed", str(seed)))
    if reason is not None:
        rows.append(("finish", reason))
    for name, text in rows:
        talk(f"{name:<12}{text}")


def _rate(tokens: int, seconds: float, rate: float) -> str:
    return f"{tokens} tokens in {seconds:.3f} s, {rate:.1f} tokens/s"
