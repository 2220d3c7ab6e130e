"""Architectures: one file per family, each a plan that reads like the paper.

`architecture(file)` finds the family by `general.architecture`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from zigllm_cli.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from zigllm_cli.gguf import GGUFFile
    from zigllm_cli.models.architecture import Architecture

FAMILIES: dict[str, str] = {
    "llama": "llama.Llama",
}
"""`general.architecture` to the module of its family, and the class in it."""


def architecture(file: GGUFFile) -> Architecture:
    """The model in a file, its hyper-parameters and tensors checked.

    Raises:
        InputError: metadata or tensors are missing or do not fit together.
        UnsupportedError: an architecture or a type that this program does not run.
    """
    name = file.architecture
    if not name:
        raise InputError("the file names no general.architecture: it holds no model to run")
    if name not in FAMILIES:
        raise UnsupportedError(
            f"architecture {name} cannot be run yet: zigllm inspect --architectures lists those"
            " that can"
        )
    module, family = FAMILIES[name].split(".")
    model: Architecture = getattr(import_module(f"zigllm_cli.models.{module}"), family)(file)
    return model
