"""zigllm: load GGUF models, look into them and run them on the CPU.

    import zigllm_cli

    file = zigllm_cli.open_gguf("model.gguf")    # metadata and tensors, no numba
    model = zigllm_cli.load("model.gguf")        # the model and its tokenizer
    model.tokenizer.encode("Hello")

Importing the package costs nothing: every name is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.model import Model, load

_HOMES = {
    "load": "zigllm_cli.model",
    "Model": "zigllm_cli.model",
    "open_gguf": "zigllm_cli.gguf",
}

__all__ = ["Model", "__version__", "load", "open_gguf"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
