"""The state of a run on disk, from which it goes on to the very same bytes.

A .npz file: parameters, Adam's means, the losses so far, and as JSON the step and the settings.
Batches and dropout depend on seed and step alone, so no generator has a state to be kept.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zigllm_cli.atomic import atomic_file
from zigllm_cli.errors import InputError, UsageError, unreadable
from zigllm_cli.train.network import Network
from zigllm_cli.train.values import Array

FORMAT = 1
ARRAYS = ("flat", "first", "second", "losses", "validations")


@dataclass
class Checkpoint:
    """See the module.

    Attributes:
        step: steps that are done.
        identity: what the run depends on: settings and the digest of the data.
        losses: of each step.
        validations: rows of (steps done, loss).
    """

    step: int
    identity: dict[str, Any]
    flat: Array
    first: Array
    second: Array
    losses: Array
    validations: Array

    def write(self, path: Path) -> None:
        """Replace the file when the new one is whole."""
        facts = {"format": FORMAT, "step": self.step, "identity": self.identity}
        arrays = {name: getattr(self, name) for name in ARRAYS}
        with atomic_file(path) as file:
            np.savez(file, facts=np.array(json.dumps(facts)), **arrays)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """From a file.

        Raises:
            InputError: it cannot be read, or is no checkpoint.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                facts = json.loads(str(file["facts"]))
                if facts["format"] != FORMAT:
                    raise ValueError("of another version of this program")
                arrays = {name: file[name] for name in ARRAYS}
                return cls(int(facts["step"]), dict(facts["identity"]), **arrays)
        except OSError as error:
            raise unreadable(path, error) from None
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no checkpoint of a training: {error}") from None

    def restore(self, network: Network, identity: dict[str, Any], path: Path) -> None:
        """Put the state into a network of the same settings.

        Raises:
            UsageError: the run was begun with others.
        """
        for name, value in identity.items():
            old = self.identity.get(name)
            if old != value:
                raise UsageError(
                    f"{path} was begun with {name} {old!r}, not {value!r}; resume it with the"
                    " settings and data it was begun with"
                )
        for name in ("flat", "first", "second"):
            target, source = getattr(network, name), getattr(self, name)
            if target.shape != source.shape or target.dtype != source.dtype:
                raise InputError(f"{path} holds a model of another size")
            target[...] = source
