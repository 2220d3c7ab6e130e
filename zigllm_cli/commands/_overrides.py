"""Metadata set from the command line, for this run only: `--override-kv`, `--rope-...`."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from typing import Any

from zigllm_cli.errors import UsageError
from zigllm_cli.gguf import Array, Field, GGUFFile, Metadata, ValueType
from zigllm_cli.gguf.types import SCALAR_CODES

Override = tuple[str, ValueType, Any]

KINDS = {
    "int": ValueType.INT64,
    "float": ValueType.FLOAT64,
    "bool": ValueType.BOOL,
    "str": ValueType.STRING,
}
"""Types as llama.cpp spells them, and what a key that the file has not got becomes."""

READERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": {"true": True, "false": False}.__getitem__,
    "str": str,
}

_NEXT = re.compile(r",(?=[^,=]+=(?:int|float|bool|str):)")
_FORM = re.compile(r"(?P<key>[^=]+)=(?P<kind>int|float|bool|str):(?P<value>.*)", re.DOTALL)


def parse_overrides(words: Iterable[str]) -> list[Override]:
    """The values of `--override-kv`: KEY=TYPE:VALUE, several in one with commas between.

    Raises:
        UsageError: one has another form, or a value is not of its type.
    """
    return [_parse(part) for word in words for part in _NEXT.split(word)]


def _parse(text: str) -> Override:
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--override-kv {text!r} is not KEY=TYPE:VALUE with a TYPE of {', '.join(KINDS)}"
        )
    key, kind, word = match.groups()
    try:
        value = READERS[kind](word)
    except (ValueError, KeyError):
        legal = "true or false" if kind == "bool" else f"of type {kind}"
        raise UsageError(f"--override-kv {key}: {word!r} is not {legal}") from None
    return key, KINDS[kind], value


def rope_overrides(
    architecture: str, scaling: str | None, scale: float | None, base: float | None
) -> list[Override]:
    """The rotary options as the keys that they stand for.

    Raises:
        UsageError: a value outside its range.
    """
    if scaling is not None and scaling not in ("none", "linear", "yarn"):
        raise UsageError(f"--rope-scaling {scaling!r} is unknown; use none, linear or yarn")
    for name, value in (("--rope-scale", scale), ("--rope-freq-base", base)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{name} is {value:g}, but must be above 0")
    chosen = (
        ("scaling.type", ValueType.STRING, scaling),
        ("scaling.factor", ValueType.FLOAT64, scale),
        ("freq_base", ValueType.FLOAT64, base),
    )
    return [
        (f"{architecture}.rope.{name}", kind, value)
        for name, kind, value in chosen
        if value is not None
    ]


def override(file: GGUFFile, overrides: Iterable[Override]) -> None:
    """Set metadata of an opened file; what is on disk stays as it is.

    Raises:
        UsageError: the file has the key with a type that the value does not fit.
    """
    fields = dict(file.metadata.fields)
    for key, kind, value in overrides:
        if key in fields:
            kind, value = _fitted(fields[key], kind, value)
        fields[key] = Field(key, kind, value, 0, 0)
    file.metadata = Metadata(fields)


def _fitted(field: Field, kind: ValueType, value: Any) -> tuple[ValueType, Any]:
    """The value in the type that the file has."""
    family = next((name for name, made in KINDS.items() if made is kind), "")
    known = _family(field)
    if known != family:
        raise UsageError(
            f"--override-kv {field.key}: the file has it as {known}, it cannot become {family}"
        )
    if field.type in SCALAR_CODES:
        try:
            struct.pack("<" + SCALAR_CODES[field.type], value)
        except (struct.error, OverflowError):
            raise UsageError(
                f"--override-kv {field.key}: {value} is outside the range of {field.type.name}"
            ) from None
    return field.type, value


def _family(field: Field) -> str:
    if isinstance(field.value, Array):
        return "an array"
    kinds = ((bool, "bool"), (int, "int"), (float, "float"), (str, "str"))
    return next(name for kind, name in kinds if isinstance(field.value, kind))
