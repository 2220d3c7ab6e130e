"""`general.size_label`: how many parameters a model has, as its name would say (`7B`, `8x7B`).

Of GGUF's naming convention. Experts are counted as EXPERTS x (one expert and what all share).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zigllm_cli.convert.conversion import SourceTensor

UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def size_label(tensors: Iterable[SourceTensor]) -> str | None:
    """The label, or None for a model without parameters."""
    count, experts = 0, []
    for tensor in tensors:
        if "_exps." in tensor.name and len(tensor.shape) > 2:
            experts.append(tensor.shape[-1])
            count += prod(tensor.shape[:-1])
        else:
            count += prod(tensor.shape)
    if not count:
        return None
    label = rounded(count)
    return f"{sum(experts) // len(experts)}x{label}" if experts else label


def rounded(count: float) -> str:
    """At least two significant digits where they say something: 135M, 1.1B, 0.5B -> 500M."""
    scale, unit = next(((s, u) for s, u in UNITS if count > s), UNITS[-1])
    value = count / scale
    digits = max(2 - len(str(round(value)).lstrip("0")), 0)
    return f"{value:.{digits}f}{unit}"
