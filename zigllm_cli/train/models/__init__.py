"""The models that can be trained: one module per architecture.

tensors(shape)                     what is learned
forward(tape, w, shape, tokens)    tokens [B, T] to logits [B T, vocabulary]
split(shape, name)                 the tensors of the file that a parameter holds, with rows
metadata(shape)                    the file's keys
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

MODELS = ("llama", "gpt2", "microgpt")


def model(architecture: str) -> Any:
    """The module of an architecture."""
    return import_module(f"zigllm_cli.train.models.{architecture}")
