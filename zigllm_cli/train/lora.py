"""An adapter learned beside a model that stays as it is: LoRA. Hu et al. 2021.

    y = W x + alpha / rank * B (A x)

for every matrix of the blocks, each of the file's tensors with a pair of its own. A is drawn, B
begins as 0, so training begins with the model as it was.
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy as np

from zigllm_cli.errors import UsageError
from zigllm_cli.gguf.writer import write_gguf
from zigllm_cli.train.entries import entry_of
from zigllm_cli.train.export import plan_of
from zigllm_cli.train.initial import Initial
from zigllm_cli.train.models import model
from zigllm_cli.train.network import Network
from zigllm_cli.train.parameters import Parameters
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.shape import Shape, Tensor
from zigllm_cli.train.values import Array, Change, Value


def parse_lora(text: str) -> dict[str, str]:
    """Settings from `r=8,alpha=16`.

    Raises:
        UsageError: anything else.
    """
    names = {"r": "lora_rank", "alpha": "lora_alpha"}
    found = {}
    for pair in text.split(","):
        name, equals, value = pair.strip().partition("=")
        if name not in names or not equals:
            raise UsageError(f"--lora {text!r} is not understood; write it as r=8,alpha=16")
        found[names[name]] = value
    if "lora_rank" not in found:
        raise UsageError(f"--lora {text!r} names no rank; write it as r=8,alpha=16")
    return found


def places(shape: Shape) -> list[tuple[Tensor, str, slice]]:
    """What is adapted: a parameter, the file's tensor in it, and that one's rows."""
    module, found = model(shape.architecture), []
    for tensor in module.tensors(shape):
        if not tensor.name.startswith("blk.") or not tensor.decay:
            continue
        start = 0
        parts = module.split(shape, tensor.name) or {tensor.name: tensor.shape[0]}
        for name, rows in parts.items():
            found.append((tensor, name, slice(start, start + rows)))
            start += rows
    return found


def adapter_tensors(shape: Shape, rank: int) -> list[Tensor]:
    """The pairs of all places, in order."""
    found = []
    for tensor, name, rows in places(shape):
        columns = tensor.shape[1]
        found.append(Tensor(f"{name}.weight.lora_a", (rank, columns), 1 / sqrt(columns)))
        found.append(Tensor(f"{name}.weight.lora_b", (rows.stop - rows.start, rank)))
    return found


class LoraNetwork(Network):
    """A network that learns an adapter only."""

    def __init__(self, initial: Initial, s: Settings, threads: int = 1) -> None:
        parameters = Parameters(adapter_tensors(initial.shape, s.lora_rank))
        flat = parameters.initial(s.seed, s.precision)
        super().__init__(initial.shape, flat, parameters=parameters, threads=threads)
        self._base = initial.parameters.views(initial.flat.astype(flat.dtype))
        self._scale = s.lora_alpha / s.lora_rank

    def _shard_values(self, gradients: Array) -> dict[str, Value]:
        """The model's parameters with their changes, and those of the changes."""
        learned = self.parameters.values(self.flat, gradients)
        changes: dict[str, list[Change]] = {}
        for tensor, name, rows in places(self.shape):
            a, b = (learned[f"{name}.weight.lora_{half}"] for half in "ab")
            changes.setdefault(tensor.name, []).append(Change(rows, a, b, self._scale))
        base = {
            name: Value(data, frozen=True, changes=tuple(changes.get(name, ())))
            for name, data in self._base.items()
        }
        return base | learned


def write_adapter(path: Path, network: LoraNetwork, s: Settings, name: str) -> None:
    """The adapter as llama.cpp has them; it appears when it is whole."""
    keys = {
        "general.architecture": network.shape.architecture,
        "general.type": "adapter",
        "general.name": name,
        "adapter.type": "lora",
        "adapter.lora.alpha": s.lora_alpha,
    }
    entries = [entry_of(key, value) for key, value in keys.items()]
    arrays = network.parameters.views(network.flat)
    plans = [plan_of(name, np.asarray(arrays[name])) for name in network.parameters.tensors]
    write_gguf(path, entries, plans)
