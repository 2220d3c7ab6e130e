"""Which kind of source a path is, found by looking into it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from zigllm_cli.convert.conversion import Conversion, Options
from zigllm_cli.errors import InputError, UnsupportedError, unreadable
from zigllm_cli.inspection.findings import PROBLEM
from zigllm_cli.inspection.structure import check_keys, check_tensors

SOURCES = ("peft", "litgpt", "hf", "gguf_file", "refused", "llama2c", "gpt")
"""Modules of this package, asked in this order; `zigllm_cli.convert` tells what they must have."""


class Source(Protocol):
    """A module that reads one kind of source."""

    def recognises(self, path: Path) -> bool: ...
    def read(self, path: Path, options: Options) -> Conversion: ...


def find_source(path: Path) -> Source:
    """The module that reads what lies at `path`.

    Raises:
        InputError: there is nothing, or it cannot be read.
        UnsupportedError: no module knows it.
    """
    if not path.exists():
        raise InputError(f"there is no file or folder {path} to convert")
    for name in SOURCES:
        module: Source = import_module(f"zigllm_cli.convert.{name}")
        try:
            if module.recognises(path):
                return module
        except OSError as error:
            raise unreadable(path, error) from None
    raise UnsupportedError(
        f"{path} is none of the formats that are converted; see 'zigllm convert --help'"
    )


def read_source(path: Path, options: Options | None = None) -> Conversion:
    """What lies at `path`, ready to be written; no weights are read yet.

    Raises:
        InputError: it is missing or damaged, or lacks tensors, or has such as no reader expects.
        UnsupportedError: a format, or a model, that is not converted.
    """
    conversion = find_source(path).read(path, options or Options())
    if not conversion.is_gguf and conversion.metadata.get("general.type") == "model":
        check_model(conversion)
    return conversion


def check_model(conversion: Conversion) -> None:
    """Whether a model has what its architecture needs, in the right shapes, and nothing else.

    Raises:
        InputError: not so.
    """
    for finding in (*check_keys(conversion), *check_tensors(conversion)):
        if finding.severity == PROBLEM:
            raise InputError(f"{conversion.source}: {finding.message}")
