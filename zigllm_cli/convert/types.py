"""Which type each tensor of a conversion gets."""

from __future__ import annotations

from zigllm_cli.convert.conversion import Conversion
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quantization.candidates import is_candidate
from zigllm_cli.quantization.decisions import Decision, Decisions, Wishes, decide
from zigllm_cli.quantization.file_types import COPY, FileType, file_type

AUTO = "AUTO"
SAME_FOR_ALL = ("F32", "F16", "BF16", "Q8_0")
"""Types that do not mix: tensors stay in the order of the source."""


def chosen_type(conversion: Conversion, name: str) -> FileType:
    """The file type of this name.

    `auto` leaves a GGUF file as it is, and makes an adapter F32; else it is the type of the first
    matrix, or F16 where that is of any but half floats.

    Raises:
        UsageError: there is no such type.
    """
    if name.upper() != AUTO:
        return file_type(name)
    if conversion.is_gguf:
        return file_type(COPY)
    if conversion.metadata.get("general.type") == "adapter":
        return file_type("F32")
    for tensor in conversion.tensors.values():
        if len(tensor.shape) > 1 and tensor.type.name in ("F16", "BF16"):
            return file_type(tensor.type.name)
    return file_type("F16")


def decide_types(
    conversion: Conversion, kind: FileType, *, has_importance: bool = False
) -> Decisions:
    """A type for every tensor: what quantising an F32 file would choose.

    What is not quantised is F32, as the reference writes it. Blocks that a checkpoint has quantised
    already stay as they are; those of a GGUF file may be made plain, but not quantised twice.

    Raises:
        UsageError: a tensor that cannot become what was asked for.
    """
    from_file = conversion.is_gguf
    wishes = Wishes(
        allow_requantize=not (from_file and kind.default.is_quantized),
        keep_split=kind.copies or kind.name in SAME_FOR_ALL,
    )
    decisions = decide(conversion, kind, wishes, has_importance=has_importance)
    if not kind.copies:
        decisions.rows = [_settled(row, keep_blocks=not from_file) for row in decisions.rows]
    return decisions


def _settled(row: Decision, *, keep_blocks: bool) -> Decision:
    if keep_blocks and row.tensor.type.is_quantized:
        return Decision(row.tensor, row.name, row.tensor.type)
    if not is_candidate(row.name, row.tensor.shape):
        return Decision(row.tensor, row.name, tensor_type("F32"))
    return row
