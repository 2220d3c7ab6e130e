"""The code books of the IQ types: which values an index stands for.

An entry is 8 weights (IQ1, IQ2) or 4 (IQ3), each one of a few levels. The numbers were found by
search when the types were made and are part of the file format; the `gguf` package carries them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _book(name: str) -> Any:
    from gguf import quants

    book = getattr(quants, name)
    book.init_grid()
    return book


def levels(name: str) -> tuple[int, ...]:
    """The values that a weight of the type "IQ2_XS" etc. can have, before its sign and scale."""
    return tuple(int(value) for value in _book(name).grid_map)


def codes(name: str) -> NDArray[np.uint8]:
    """The code book as places in `levels`: uint8 [entries, weights of an entry]."""
    import numpy as np

    book = _book(name)
    places = np.searchsorted(np.array(book.grid_map), book.grid.reshape(book.grid_shape))
    result: NDArray[np.uint8] = places.astype(np.uint8)
    return result


def packed(name: str, bits: int, scale: int = 1) -> list[int]:
    """The code book as integers: `scale` times each code in a field of `bits`, the first lowest."""
    import numpy as np

    book = codes(name).astype(np.uint64)
    shifts = np.arange(book.shape[1], dtype=np.uint64) * np.uint64(bits)
    fields = (book * np.uint64(scale)) << shifts
    return [int(entry) for entry in fields.sum(axis=1, dtype=np.uint64)]
