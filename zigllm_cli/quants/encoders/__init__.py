"""Floats to quantised blocks, byte for byte as ggml's reference encoders make them.

A module here has one family of types and `encoder(name, weighted)`, which returns a Numba function
`(x, w, s, tables, out)` that encodes 16 blocks. `weighted` says whether importance will be given;
only for the types of `WEIGHTED_APART` is that another function.

    x       f32 [16, block]   values
    w       f32 [16, block]   importance of each, or 0
    s       f32 [16]          with importance: mean square of the block, or of its row
    tables  address of what `tables` of the family gave; 0 if it has none
    out     uint8 [16, block_bytes]

The reference adds floats one by one, each operation rounded on its own. So a lane of a vector is
one block (or sub-block) and the places within it come one after another: the sums have the
reference's order, and sixteen of them are made at once. Never is a product fused with a sum.

`ROW_SPANS` tells over what `s` is summed. The kernel `encode` drives all families.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAMILIES = {
    "plain": ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"),
    "few_bits": ("Q1_0", "Q2_0", "TQ1_0", "TQ2_0"),
    "e2m1": ("MXFP4", "NVFP4"),
    "k_quants": ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
    "non_linear": ("IQ4_NL", "IQ4_XS"),
    "iq1": ("IQ1_S", "IQ1_M"),
    "iq2": ("IQ2_XXS", "IQ2_XS", "IQ2_S"),
    "iq3": ("IQ3_XXS", "IQ3_S"),
}

FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}

WEIGHTS_IGNORED = ("Q1_0", "Q2_0", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4")
"""Types whose encoding an importance matrix does not change."""

WEIGHTS_NEEDED = ("IQ1_S", "IQ2_XXS", "IQ2_XS")
"""Types whose encoder knows no other weights than those of an importance matrix."""

WEIGHTED_APART = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K")
"""Types that search in another way where importance is given."""

ROW_SPANS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1")
"""Types that weigh by the mean square of the whole row; the others by that of the block."""


def family(name: str) -> ModuleType:
    """The module of a type's family."""
    return import_module(f"zigllm_cli.quants.encoders.{FAMILY_OF[name]}")


def tables(name: str) -> NDArray[Any] | None:
    """What the encoder of a type finds in memory beside the values, or None."""
    make = getattr(family(name), "tables", None)
    return make(name) if make else None
