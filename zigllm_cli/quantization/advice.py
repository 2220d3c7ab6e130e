"""Which file types a model could have: their size, their error, and whether they fit here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.gguf import GGUFFile
from zigllm_cli.inspection.memory import estimate
from zigllm_cli.machine import memory_limit
from zigllm_cli.quantization.budget import is_free, noise_of_mix
from zigllm_cli.quantization.decisions import Wishes, decide
from zigllm_cli.quantization.file_types import SPECIAL, file_type, file_types
from zigllm_cli.quantization.importance import Importance
from zigllm_cli.quantization.measure import Compiling, Progress, measure

CONTEXT = 4096


@dataclass(frozen=True)
class Advice:
    """One file type.

    Attributes:
        nbytes: of the tensors.
        memory: nbytes and an F16 cache for `CONTEXT` tokens.
        noise: expected noise to signal of the logits; None where the type needs importance.
        fits: whether this machine has that memory.
    """

    name: str
    nbytes: int
    bits_per_weight: float
    memory: int
    noise: float | None
    fits: bool

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "type": self.name,
            "bytes": self.nbytes,
            "bits_per_weight": self.bits_per_weight,
            "memory": self.memory,
            "noise": self.noise,
            "fits": self.fits,
        }


def advise(
    file: GGUFFile,
    wishes: Wishes,
    importance: Importance | None,
    *,
    threads: int = 1,
    compiling: Compiling | None = None,
    progress: Progress | None = None,
) -> list[Advice]:
    """Every file type of general use, the largest first."""
    rows = decide(file, file_type("Q8_0"), wishes, has_importance=True).rows
    free = [row for row in rows if is_free(row, wishes)]
    noises = measure(file, free, importance, threads, compiling, progress)
    values = sum(row.tensor.n_elements for row in rows)
    cache, available = cache_bytes(file), memory_limit()
    found = []
    for kind in file_types():
        if kind.name in SPECIAL or not kind.default.is_quantized:
            continue
        noise, nbytes = noise_of_mix(file, kind, wishes, importance, noises)
        if not nbytes:
            continue
        memory = nbytes + cache
        fits = available is None or memory < available
        found.append(Advice(kind.name, nbytes, 8 * nbytes / values, memory, noise, fits))
    return sorted(found, key=lambda item: -item.nbytes)


def cache_bytes(file: GGUFFile) -> int:
    """An F16 cache for `CONTEXT` tokens, or 0 for a model that has none that is known."""
    return max((cache.bytes for cache in estimate(file, CONTEXT, "f16").caches), default=0)
