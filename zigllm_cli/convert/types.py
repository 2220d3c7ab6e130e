"""Which type each tensor of a conversion gets."""

from __future__ import annotations

from zigllm_cli.convert.conversion import Conversion
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quantization.candidates import is_candidate
from zigllm_cli.quantization.decisions import Decision, Decisions, Wishes, decide
from zigllm_cli.quantization.file_types import FileType, file_type

AUTO = "AUTO"
SAME_FOR_ALL = ("F32", "F16", "BF16", "Q8_0")
"""Types that do not mix: tensors stay in the order of the source."""


def chosen_type(conversion: Conversion, name: str) -> FileType:
    """The file type of this name; `auto` is that of the first matrix, F16 for any but half floats.

    Raises:
        UsageError: there is no such type.
    """
    if name.upper() != AUTO:
        return file_type(name)
    for tensor in conversion.tensors.values():
        if len(tensor.shape) > 1 and tensor.type.name in ("F16", "BF16"):
            return file_type(tensor.type.name)
    return file_type("F16")


def decide_types(
    conversion: Conversion, kind: FileType, *, has_importance: bool = False
) -> Decisions:
    """A type for every tensor: what quantising an F32 file would choose.

    What is not quantised is F32, as the reference writes it. Blocks that the source has quantised
    already stay as they are.

    Raises:
        UsageError: a tensor that cannot become what was asked for.
    """
    wishes = Wishes(allow_requantize=True, keep_split=kind.name in SAME_FOR_ALL)
    decisions = decide(conversion, kind, wishes, has_importance=has_importance)
    decisions.rows = [_settled(row) for row in decisions.rows]
    return decisions


def _settled(row: Decision) -> Decision:
    if row.tensor.type.is_quantized:
        return Decision(row.tensor, row.name, row.tensor.type)
    if not is_candidate(row.name, row.tensor.shape):
        return Decision(row.tensor, row.name, tensor_type("F32"))
    return row
