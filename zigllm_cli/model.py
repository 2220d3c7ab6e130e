"""`load`: a model from a file, as the Python API gives it out."""

from __future__ import annotations

import os
from functools import cached_property

from zigllm_cli.catalog import resolve
from zigllm_cli.gguf import GGUFFile, open_gguf
from zigllm_cli.tokenizers import Tokenizer, from_metadata


class Model:
    """An opened model; parts are built when first used.

    Attributes:
        file: metadata and tensors.
    """

    def __init__(self, file: GGUFFile) -> None:
        self.file = file

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Text to token ids and back."""
        return from_metadata(self.file.metadata)


def load(path: str | os.PathLike[str]) -> Model:
    """Open a model: a GGUF file, the first shard of a split one, an alias or `builtin`.

    Raises:
        InputError: not found, unreadable or corrupt.
        UnsupportedError: a kind of file this program does not read.
    """
    return Model(open_gguf(resolve(path)))
