"""The mix of least expected error within a size.

A matrix W that becomes W + E turns the product W x into one with noise E x. With the importance
of the columns, the mean squares of x, noise to signal is sum(w e^2) / sum(w W^2), measured here on
rows of the tensor itself for every type that it could have. Small noises of many products add up
in what the model says, each with the share that reaches the logits (`shares.py`). Their sum is made
small: each matrix begins with its smallest type, and the step that gains most per byte is taken
until the size is full (the convex hull of the multiple-choice knapsack).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from zigllm_cli.errors import UnsupportedError, UsageError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.gguf.reader import align
from zigllm_cli.gguf.types import TensorType, tensor_type
from zigllm_cli.quantization.candidates import is_candidate
from zigllm_cli.quantization.decisions import Decision, Decisions, Wishes, decide
from zigllm_cli.quantization.file_types import SPECIAL, FileType, file_type, file_types
from zigllm_cli.quantization.importance import Importance
from zigllm_cli.quantization.measure import Compiling, Noises, Progress, measure
from zigllm_cli.quantization.mixes import EMBEDDINGS, OUTPUT
from zigllm_cli.quantization.shares import shares
from zigllm_cli.quantization.write import header_bytes


@dataclass
class Choice:
    """A mix, and why.

    Attributes:
        limit: bytes that were allowed for tensors.
        noise: the expected noise to signal of the logits.
        fixed: the best fixed mix of at most the same size: (name, bytes, noise), if any.
    """

    decisions: Decisions
    limit: int
    noise: float
    fixed: tuple[str, int, float] | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        result: dict[str, Any] = {
            "limit": self.limit,
            "noise": self.noise,
            "types": dict(self.counts),
        }
        if self.fixed:
            result["fixed"] = dict(zip(("type", "bytes", "noise"), self.fixed, strict=True))
        return result


def choose(
    file: GGUFFile,
    wishes: Wishes,
    importance: Importance | None,
    *,
    importance_file: str = "",
    size: int | None = None,
    bits_per_weight: float | None = None,
    threads: int = 1,
    compiling: Compiling | None = None,
    progress: Progress | None = None,
) -> Choice:
    """The mix of least expected error in a file of at most `size` bytes, or of so many bits.

    Args:
        importance_file: what the metadata will say of it.

    Raises:
        UsageError: not even the smallest types are small enough.
        UnsupportedError: as `decide`.
    """
    most = decide(file, file_type("Q8_0"), wishes, has_importance=True)
    free = [row for row in most.rows if is_free(row, wishes)]
    noises = measure(file, free, importance, threads, compiling, progress)
    part = shares(row.name for row in most.rows)
    if size is not None:
        limit = size - header_bytes(file, most, importance, importance_file)
    else:
        values = sum(row.tensor.n_elements for row in most.rows)
        limit = int((bits_per_weight or 0) * values / 8)
    given = {row.name for row in free}
    rest = sum(align(row.nbytes, file.alignment) for row in most.rows if row.name not in given)
    hulls = {row.name: _hull(row, noises[row.name], part[row.name], file.alignment) for row in free}
    types = allocate(hulls, limit - rest)
    noise = sum(part[name] * noises[name][kind.name] for name, kind in types.items())
    fixed = _best_fixed(file, wishes, importance, noises, limit)
    if fixed and fixed[2] < noise:  # steps along a hull can leave room that a whole mix fills
        kind, noise = file_type(fixed[0]), fixed[2]
        decisions = decide(file, kind, wishes, has_importance=importance is not None)
    else:
        rows = [replace(row, type=types.get(row.name, row.type), wanted=None) for row in most.rows]
        decisions = Decisions(_kind_of(rows, types), rows)
    counts = Counter(row.type.name for row in decisions.rows if row.name in given)
    return Choice(decisions, limit, noise, fixed, counts)


def is_free(row: Decision, wishes: Wishes) -> bool:
    """Whether the type of a tensor is ours to choose."""
    name = row.name
    if not is_candidate(name, row.tensor.shape):
        return False
    if any(pattern.search(name) for pattern, _ in wishes.tensor_types):
        return False
    if name in EMBEDDINGS and wishes.token_embedding_type:
        return False
    return name != OUTPUT or not (wishes.output_tensor_type or wishes.leave_output_tensor)


# ------------------------------------------------------------------ choosing


Hull = list[tuple[int, float, str]]
"""(bytes in a file, noise of the logits, type), smallest first, none above the line of others."""


def allocate(hulls: dict[str, Hull], limit: int) -> dict[str, TensorType]:
    """Types by name, of least total noise in at most `limit` bytes.

    Raises:
        UsageError: the smallest are larger than that.
    """
    chosen = dict.fromkeys(hulls, 0)
    used = sum(hull[0][0] for hull in hulls.values())
    if used > limit:
        raise UsageError(
            f"the tensors need at least {used / 1e6:.1f} MB, but the size leaves "
            f"{max(limit, 0) / 1e6:.1f} MB; allow more, or give --imatrix for smaller types"
        )
    steps = sorted(
        (-(a[1] - b[1]) / (b[0] - a[0]), name, place)
        for name, hull in hulls.items()
        for place, (a, b) in enumerate(pairwise(hull))
    )
    for _, name, place in steps:
        hull = hulls[name]
        cost = hull[place + 1][0] - hull[place][0]
        if chosen[name] == place and used + cost <= limit:
            chosen[name], used = place + 1, used + cost
    return {name: tensor_type(hulls[name][place][2]) for name, place in chosen.items()}


def _hull(row: Decision, noises: dict[str, float], part: float, alignment: int) -> Hull:
    points = sorted(
        (
            align(row.tensor.n_elements // kind.block_size * kind.block_bytes, alignment),
            part * noise,
            name,
        )
        for name, noise in noises.items()
        for kind in (tensor_type(name),)
    )
    hull: Hull = []
    for point in points:
        if hull and point[1] >= hull[-1][1]:
            continue
        while hull and point[0] == hull[-1][0]:
            hull.pop()
        while len(hull) > 1 and _is_above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _is_above(
    a: tuple[int, float, str], b: tuple[int, float, str], c: tuple[int, float, str]
) -> bool:
    """Whether b lies on or above the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


def _kind_of(rows: list[Decision], types: dict[str, TensorType]) -> FileType:
    """The file type whose default most bytes have: what the file will say that it is."""
    sizes: Counter[str] = Counter()
    for row in rows:
        if row.name in types and row.type.is_quantized:
            sizes[row.type.name] += row.nbytes
    most = sizes.most_common(1)[0][0] if sizes else "F16"
    usual = {"Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "Q3_K": "Q3_K_M", "IQ2_S": "IQ2_M"}
    return file_type(usual.get(most, most))


def _best_fixed(
    file: GGUFFile,
    wishes: Wishes,
    importance: Importance | None,
    noises: Noises,
    limit: int,
) -> tuple[str, int, float] | None:
    """The fixed mix of least noise among those of at most `limit` bytes."""
    found = []
    for kind in file_types():
        if kind.name in SPECIAL:
            continue
        noise, nbytes = noise_of_mix(file, kind, wishes, importance, noises)
        if noise is not None and nbytes <= limit:
            found.append((noise, nbytes, kind.name))
    if not found:
        return None
    noise, nbytes, name = min(found)
    return name, nbytes, noise


def noise_of_mix(
    file: GGUFFile,
    kind: FileType,
    wishes: Wishes,
    importance: Importance | None,
    noises: Noises,
) -> tuple[float | None, int]:
    """(expected noise of the logits or None where it is not known, bytes) of a fixed mix."""
    try:
        rows = decide(file, kind, wishes, has_importance=importance is not None).rows
    except UnsupportedError:  # rows that this type cannot have
        return None, 0
    nbytes = sum(align(row.nbytes, file.alignment) for row in rows)
    part = shares(row.name for row in rows)
    known = [row for row in rows if row.name in noises]
    total = 0.0
    for row in known:
        if row.changes and row.type.name not in noises[row.name]:
            return None, nbytes
        total += part[row.name] * noises[row.name][row.type.name] if row.changes else 0.0
    return total, nbytes
