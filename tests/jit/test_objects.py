"""The object files of kernels: one function, which needs nothing of anyone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from zigllm_cli.jit import Kernel
from zigllm_cli.jit.compile import object_code

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files")

FROM_LIBC = {"memcpy", "memset", "memmove"}
"""What LLVM may call for a loop that it recognises."""

SECTION = np.dtype(
    [
        ("name", "<u4"), ("type", "<u4"), ("flags", "<u8"), ("address", "<u8"), ("offset", "<u8"),
        ("size", "<u8"), ("link", "<u4"), ("info", "<u4"), ("align", "<u8"), ("entry", "<u8"),
    ]
)  # fmt: skip
SYMBOL = np.dtype(
    [
        ("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"),
        ("size", "<u8"),
    ]
)  # fmt: skip
SYMBOL_TABLE, LOCAL, UNDEFINED = 2, 0, 0


def symbols(code: bytes) -> Iterator[tuple[str, Any]]:
    """The names that an ELF object shows to others, or wants of them, and their entries."""
    assert code[:6] == b"\x7fELF\x02\x01", "64 bits, little endian"
    start = int.from_bytes(code[0x28:0x30], "little")
    count = int.from_bytes(code[0x3C:0x3E], "little")
    sections = np.frombuffer(code, SECTION, count, start)
    for table in sections[sections["type"] == SYMBOL_TABLE]:
        names = int(sections[table["link"]]["offset"])
        entries = np.frombuffer(code, SYMBOL, table["size"] // SYMBOL.itemsize, table["offset"])
        for entry in entries[entries["info"] >> 4 != LOCAL]:
            first = names + int(entry["name"])
            yield code[first : code.index(b"\0", first)].decode(), entry


@pytest.mark.parametrize(
    "kernel",
    [
        Kernel("execute"),
        Kernel("rms_norm"),
        Kernel("silu_mul", ("gelu_erf", 1)),
        Kernel("rows", ("Q4_K", 0)),
        Kernel("float_rows", ("BF16", 0)),
        Kernel("activations", ("IQ3_S",)),
    ],
    ids=lambda kernel: kernel.name,
)
def test_one_name_and_nothing_wanted(kernel: Kernel) -> None:
    table = dict(symbols(object_code(kernel.build(), "the_kernel")))
    wanted = {name for name, entry in table.items() if entry["section"] == UNDEFINED}
    assert wanted <= FROM_LIBC
    assert set(table) - wanted == {"the_kernel"}
