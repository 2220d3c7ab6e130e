"""The functions of a type by its name: where `weights`, `scales` and `minima` are found."""

from importlib import import_module
from types import ModuleType


def unpacking(name: str) -> ModuleType:
    """The module of a quantised type, e.g. `quants.q4_k` for "Q4_K"."""
    return import_module(f"zigllm_cli.quants.{name.lower()}")
