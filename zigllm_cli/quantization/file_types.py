"""What a model can be quantised to: the file types, by name and by `general.file_type`."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.errors import UsageError
from zigllm_cli.gguf.types import TensorType, tensor_type
from zigllm_cli.inspection.filetypes import FILE_TYPES

ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
NOT_OFFERED = ("NVFP4",)
"""Numbers that exist for files made elsewhere, in ways of their own."""

SPECIAL = ("MXFP4_MOE", "TQ1_0", "TQ2_0", "Q1_0", "Q2_0")
"""For models that were trained for them."""

COPY = "COPY"

ABOUT = {
    "F32": "as it is computed with",
    "F16": "half floats",
    "BF16": "brain floats: the range of F32, the precision of three digits",
    "Q8_0": "hardly to be told from F16",
    "Q6_K": "very close to F16",
    "Q5_K_M": "close; Q5_K is the same",
    "Q5_K_S": "close, smaller",
    "Q4_K_M": "the usual choice; Q4_K is the same",
    "Q4_K_S": "smaller, a little worse",
    "IQ4_XS": "as good as Q4_K_S, smaller",
    "IQ4_NL": "blocks of 32, for widths that are not multiples of 256",
    "Q4_0": "the fastest",
    "Q4_1": "with a minimum per block",
    "Q5_0": "five bits, blocks of 32",
    "Q5_1": "five bits and a minimum, blocks of 32",
    "Q3_K_L": "small",
    "Q3_K_M": "small; Q3_K is the same",
    "Q3_K_S": "small, noticeably worse",
    "IQ3_M": "as good as Q3_K_M, smaller",
    "IQ3_S": "3.4 bits",
    "IQ3_XS": "3.3 bits",
    "IQ3_XXS": "3.1 bits; needs --imatrix",
    "Q2_K": "very small, much worse",
    "Q2_K_S": "smaller still; needs --imatrix",
    "IQ2_M": "2.7 bits; needs --imatrix",
    "IQ2_S": "2.5 bits; needs --imatrix",
    "IQ2_XS": "2.3 bits; needs --imatrix",
    "IQ2_XXS": "2.1 bits; needs --imatrix",
    "IQ1_M": "1.75 bits; needs --imatrix",
    "IQ1_S": "1.6 bits; needs --imatrix",
    "TQ2_0": "for models trained with ternary weights",
    "TQ1_0": "for models trained with ternary weights, smaller",
    "MXFP4_MOE": "experts to MXFP4, the rest to Q8_0",
    "Q2_0": "for models trained with two bits",
    "Q1_0": "for models trained with one bit",
}


@dataclass(frozen=True)
class FileType:
    """A mix of tensor types.

    Attributes:
        number: `general.file_type`.
        default: the type of most tensors.
    """

    number: int
    name: str
    default: TensorType

    @property
    def copies(self) -> bool:
        """Whether no tensor is changed."""
        return self.name == COPY


_BY_NAME = {
    name: FileType(number, name, tensor_type(default))
    for number, (name, default) in FILE_TYPES.items()
    if name not in NOT_OFFERED
}


def file_types() -> list[FileType]:
    """All that can be asked for, the most precise first."""
    return [_BY_NAME[name] for name in ABOUT]


def file_type(name: str) -> FileType:
    """The file type of this name (any case) or number.

    Raises:
        UsageError: there is none.
    """
    wanted = name.upper()
    if wanted == COPY:
        return FileType(0, COPY, tensor_type("F32"))
    found = _BY_NAME.get(ALIASES.get(wanted, wanted))
    if found is None and wanted.isdecimal():
        found = next((kind for kind in _BY_NAME.values() if kind.number == int(wanted)), None)
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(wanted, [*_BY_NAME, COPY], n=1)
        hint = f"did you mean {near[0]}?" if near else "see --list-types"
        raise UsageError(f"{name!r} is not a type to quantize to; {hint}")
    return found
