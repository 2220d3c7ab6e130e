"""Read a converted file back and compare it with its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import numpy as np

from zigllm_cli.convert.conversion import Conversion
from zigllm_cli.convert.gguf_file import source_tensor
from zigllm_cli.convert.write import all_entries
from zigllm_cli.errors import ZigllmError
from zigllm_cli.gguf import GGUFFile, open_gguf
from zigllm_cli.gguf.entry import Entry
from zigllm_cli.gguf.writer import SPLIT_KEYS, Progress
from zigllm_cli.quantization.convert import PIECE, floats
from zigllm_cli.quantization.decisions import Decision, Decisions
from zigllm_cli.quantization.loss import Loss

MIN_SNR = {8: 40.0, 6: 30.0, 5: 20.0, 4: 12.0}
"""Decibels that values of so many bits keep at least; a tensor below was not written rightly."""


@dataclass
class Verification:
    """What was found, all well.

    Attributes:
        exact: tensors whose values are those of the source, bit for bit.
        losses: of the others, by name.
    """

    exact: int = 0
    losses: dict[str, Loss] = field(default_factory=dict)

    @property
    def worst_snr(self) -> float:
        return min((loss.snr for loss in self.losses.values()), default=inf)


def verify(
    conversion: Conversion, decisions: Decisions, path: Path, progress: Progress | None = None
) -> Verification:
    """Compare the file with the source it was made from.

    Args:
        progress: told the bytes of the file that were compared since the last call.

    Raises:
        ZigllmError: metadata or values differ.
    """
    file = open_gguf(path)
    _check_metadata(conversion, decisions, file)
    result = Verification()
    for row in decisions.rows:
        _check_tensor(row, file, result)
        if progress is not None:
            progress(row.nbytes)
    if len(file.tensors) != len(decisions.rows):
        raise ZigllmError(f"{path} has tensors that the source has not; convert again")
    return result


def _check_metadata(conversion: Conversion, decisions: Decisions, file: GGUFFile) -> None:
    layout = file.headers[0].layout
    written = {
        key: bytes(Entry.copy(value, layout).encoded("<"))
        for key, value in file.metadata.fields.items()
        if key not in SPLIT_KEYS
    }
    wanted = {entry.key: bytes(entry.payload) for entry in all_entries(conversion, decisions)}
    for key in wanted | written:
        if wanted.get(key) != written.get(key):
            raise ZigllmError(f"{file.path}: {key} is not what was to be written; convert again")


def _check_tensor(row: Decision, file: GGUFFile, result: Verification) -> None:
    if row.name not in file.tensors:
        raise ZigllmError(f"{file.path} lacks the tensor {row.name}; convert again")
    tensor, source = source_tensor(file.tensors[row.name]), row.tensor
    if (tensor.shape, tensor.type) != (source.shape, row.type):
        raise ZigllmError(f"{file.path}: {row.name} has another shape or type; convert again")
    old, new = source.numpy(), tensor.numpy()
    if not row.changes:
        same, loss = np.array_equal(old, new), Loss()
    else:
        same, loss = True, Loss()
        step = max(PIECE // max(source.row_length, 1), 1)
        for first in range(0, len(old), step):
            before = floats(source, old[first : first + step])
            after = floats(tensor, new[first : first + step])
            same = same and np.array_equal(before, after)
            loss += Loss.between(before, after)
    source.forget(0, source.nbytes)
    tensor.forget(0, tensor.nbytes)
    if same:
        result.exact += 1
        return
    if not row.changes or not loss.snr >= _least_snr(row):
        raise ZigllmError(
            f"{file.path}: {row.name} has other values than its source; convert again"
        )
    result.losses[row.name] = loss


def _least_snr(row: Decision) -> float:
    bits = row.type.bits_per_weight
    return next((snr for limit, snr in MIN_SNR.items() if bits >= limit), 0.0)
