"""The mix of least expected error within a size.

A matrix W that becomes W + E turns the product W x into one with noise E x. With the importance
of the columns, the mean squares of x, noise to signal is sum(w e^2) / sum(w W^2), measured here on
rows of the tensor itself for every type that it could have. Small noises of many products add up
in what the model says, so the sum over all matrices is made small: each begins with its smallest
type, and the step that gains most per byte is taken until the size is full (the convex hull of the
multiple-choice knapsack).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import UnsupportedError, UsageError
from zigllm_cli.gguf import GGUFFile, Tensor
from zigllm_cli.gguf.types import TensorType, tensor_type
from zigllm_cli.jit import Kernel, compile_missing
from zigllm_cli.quantization.candidates import is_candidate
from zigllm_cli.quantization.convert import Converter, floats
from zigllm_cli.quantization.decisions import ALWAYS_WEIGHTED, Decision, Decisions, Wishes, decide
from zigllm_cli.quantization.file_types import FileType, file_type, file_types
from zigllm_cli.quantization.importance import Importance
from zigllm_cli.quantization.loss import Loss
from zigllm_cli.quantization.mixes import EMBEDDINGS, OUTPUT
from zigllm_cli.quants import dequantize
from zigllm_cli.quants.encoding import Encoder

Floats = NDArray[np.float32]
Compiling = Callable[[int, int], None]
Progress = Callable[[int], None]

LADDER = (
    "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "Q3_K", "IQ3_S",
    "IQ4_XS", "Q4_0", "IQ4_NL", "Q4_K", "Q4_1", "Q5_0", "Q5_K", "Q5_1", "Q6_K", "Q8_0", "F16",
)  # fmt: skip
"""Types to choose from; those for models trained in a way of their own are left out."""

SAMPLE = 1 << 16
"""Values of a tensor that errors are measured on, in pieces from all over it."""

PIECES = 4
METADATA = 4096
"""Bytes that new keys and padding may take."""

Noises = dict[str, dict[str, float]]
"""By tensor and type: noise to signal."""


@dataclass
class Choice:
    """A mix, and why.

    Attributes:
        limit: bytes that were allowed for tensors.
        noise: the mean noise to signal of the matrices.
        fixed: the best fixed mix of at most the same size: (name, bytes, noise), if any.
    """

    decisions: Decisions
    limit: int
    noise: float
    fixed: tuple[str, int, float] | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def explain(self) -> list[str]:
        """Lines for the user."""
        mix = ", ".join(f"{count} {name}" for name, count in self.counts.most_common())
        lines = [f"matrices: {mix}", f"expected error of a product: {100 * self.noise**0.5:.2f} %"]
        if self.fixed:
            name, nbytes, noise = self.fixed
            lines.append(
                f"the best fixed mix of that size, {name} ({nbytes / 1e6:.0f} MB), "
                f"would have {100 * noise**0.5:.2f} %"
            )
        return lines

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
    size: int | None = None,
    bits_per_weight: float | None = None,
    threads: int = 1,
    compiling: Compiling | None = None,
    progress: Progress | None = None,
) -> Choice:
    """The mix of least expected error in a file of at most `size` bytes, or of so many bits.

    Raises:
        UsageError: not even the smallest types are small enough.
        UnsupportedError: as `decide`.
    """
    rows = decide(file, file_type("Q8_0"), wishes, has_importance=True).rows
    free = [row for row in rows if is_free(row, wishes)]
    noises = measure(file, free, importance, threads, compiling, progress)
    fixed_bytes = sum(row.nbytes for row in rows) - sum(row.nbytes for row in free)
    if size is not None:
        limit = size - _overhead(file, len(rows))
    else:
        values = sum(row.tensor.n_elements for row in rows)
        limit = int((bits_per_weight or 0) * values / 8)
    types = allocate(free, noises, limit - fixed_bytes)
    chosen = [
        replace(row, type=types[row.name], wanted=None) if row.name in types else row
        for row in rows
    ]
    decisions = Decisions(_kind_of(chosen, types), chosen)
    mean = sum(noises[name][kind.name] for name, kind in types.items()) / max(len(types), 1)
    choice = Choice(decisions, limit, mean, counts=Counter(str(kind) for kind in types.values()))
    choice.fixed = _best_fixed(file, wishes, importance, noises, limit)
    return choice


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


def _overhead(file: GGUFFile, tensors: int) -> int:
    """Bytes of a file that are not tensors, at most."""
    return file.headers[0].data_start + METADATA + (tensors + 1) * file.alignment


def work(file: GGUFFile) -> int:
    """What `measure` tells its progress of, all in all."""
    matrices = [t for t in file.tensors.values() if is_candidate(t.name, t.shape)]
    return sum(4 * min(t.n_elements, SAMPLE) for t in matrices)


# ------------------------------------------------------------------ measuring


def measure(
    file: GGUFFile,
    rows: Iterable[Decision],
    importance: Importance | None,
    threads: int,
    compiling: Compiling | None = None,
    progress: Progress | None = None,
) -> Noises:
    """Noise to signal of every tensor in every type that fits it."""
    rows = list(rows)
    given = {row.name: importance.of(row.tensor) if importance else None for row in rows}
    options = {row.name: types_for(row, given[row.name] is not None) for row in rows}
    kernels: set[Kernel] = set()
    for row in rows:
        for name in options[row.name]:
            weights = given[row.name]
            encoder = Encoder(name, row.tensor.row_length, None if weights is None else weights[0])
            kernels |= {kernel for kernel in (encoder.kernel,) if kernel}
            kernels.add(Kernel("dequantize", (name,)))
        if row.tensor.type.name != "F32":
            kernels.add(Kernel("dequantize", (row.tensor.type.name,)))
    compile_missing(kernels, compiling)
    noises: Noises = {}
    with Converter(threads) as converter:
        calls = ((noise_of, row.tensor, options[row.name], given[row.name]) for row in rows)
        for row, found in zip(rows, converter.in_order(calls), strict=True):
            noises[row.name] = found
            if progress:
                progress(4 * min(row.tensor.n_elements, SAMPLE))
    return noises


def types_for(row: Decision, has_importance: bool) -> list[str]:
    """Types that the rows of a tensor can have, and that are of use."""
    exempt = row.name in EMBEDDINGS or row.name == OUTPUT
    return [
        name
        for name in LADDER
        if row.tensor.row_length % tensor_type(name).block_size == 0
        and (has_importance or exempt or name not in ALWAYS_WEIGHTED)
    ]


def noise_of(tensor: Tensor, types: Iterable[str], importance: Floats | None) -> dict[str, float]:
    """Noise to signal of a sample of a tensor in some types."""
    pieces = [(floats(tensor, piece), matrix) for piece, matrix in _sample(tensor, importance)]
    result = {}
    for name in types:
        total = Loss()
        for values, matrix in pieces:
            weights = None if importance is None else importance[matrix]
            encoder = Encoder(name, tensor.row_length, weights)
            out = np.empty((len(values), encoder.row_bytes), np.uint8)
            encoder(values, out)
            decoded = dequantize(out, name, tensor.row_length)
            total += Loss.between(values, decoded, weights)
        result[name] = total.noise
    return result


def _sample(tensor: Tensor, importance: Floats | None) -> Iterator[tuple[Any, int]]:
    """Neighbouring rows from several places, and the matrix of the stack that they are of."""
    data, matrices = tensor.numpy(), 1 if importance is None else len(importance)
    rows = tensor.rows // matrices
    wanted = min(max(SAMPLE // PIECES // max(tensor.row_length, 1), 1), rows)
    seen = set()
    for k in range(PIECES):
        matrix = k * matrices // PIECES
        first = (rows - wanted) * k // max(PIECES - 1, 1)
        start = matrix * rows + first
        if start not in seen:
            seen.add(start)
            yield data[start : start + wanted], matrix


# ------------------------------------------------------------------ choosing


def allocate(rows: list[Decision], noises: Noises, limit: int) -> dict[str, TensorType]:
    """Types by name, of least total noise in at most `limit` bytes.

    Raises:
        UsageError: the smallest are larger than that.
    """
    hulls = {row.name: _hull(row, noises[row.name]) for row in rows}
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


def _hull(row: Decision, noises: dict[str, float]) -> list[tuple[int, float, str]]:
    """(bytes, noise, type) of those that no mixture of two others beats, smallest first."""
    points = sorted(
        (row.tensor.n_elements // kind.block_size * kind.block_bytes, noise, name)
        for name, noise in noises.items()
        for kind in (tensor_type(name),)
    )
    hull: list[tuple[int, float, str]] = []
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
        if row.name in types:
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
    """(mean noise or None where it is not known, bytes of tensors) of a fixed mix."""
    try:
        rows = decide(file, kind, wishes, has_importance=importance is not None).rows
    except UnsupportedError:  # rows that this type cannot have
        return None, 0
    nbytes = sum(row.nbytes for row in rows)
    known = [row for row in rows if row.name in noises]
    total = 0.0
    for row in known:
        if row.changes and row.type.name not in noises[row.name]:
            return None, nbytes
        total += noises[row.name][row.type.name] if row.changes else 0.0
    return total / max(len(known), 1), nbytes
