"""Read a SentencePiece model: a protobuf message of pieces, and how text is normalised.

Fields: sentencepiece_model.proto of https://github.com/google/sentencepiece. A message is a row of
(field, wire type) and value; what is not needed is skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from zigllm_cli.errors import InputError

UNIGRAM, BPE = 1, 2

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_BYTES = 100 << 20

PIECES, TRAINER, NORMALIZER = 1, 2, 3
"""Fields of the model."""

TYPES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6}
"""SentencePiece's numbers of piece types, which are GGUF's too."""

Value = int | bytes


@dataclass
class SentencePiece:
    """A model.

    Attributes:
        types: what each piece is for, in GGUF's numbers.
        charsmap: the compiled rules that normalise text, empty where there are none.
    """

    texts: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    model_type: int = UNIGRAM
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    charsmap: bytes = b""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises InputError where the file is no such model."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError("it is too large")
            found = cls()
            for number, value in _fields(path.read_bytes()):
                found._take(number, value)
            if not found.texts:
                raise ValueError("it has no pieces")
        except (ValueError, IndexError, struct.error) as error:
            raise InputError(f"{path} is no sound SentencePiece model: {error}") from None
        return found

    def _take(self, number: int, value: Value) -> None:
        if not isinstance(value, bytes):
            return
        if number == PIECES:
            piece = dict(_fields(value))
            text, score = piece.get(1, b""), piece.get(2, bytes(4))
            kind = piece.get(3, 1)
            if not isinstance(text, bytes) or not isinstance(score, bytes) or kind not in TYPES:
                raise ValueError("a piece is not as it should be")
            self.texts.append(text.decode("utf-8"))
            self.scores.append(struct.unpack("<f", score)[0])
            self.types.append(int(kind))
        elif number == TRAINER:
            self.model_type = int(dict(_fields(value)).get(3, UNIGRAM))
        elif number == NORMALIZER:
            rules = dict(_fields(value))
            charsmap = rules.get(2, b"")
            self.charsmap = charsmap if isinstance(charsmap, bytes) else b""
            self.add_dummy_prefix = bool(rules.get(3, 1))
            self.remove_extra_whitespaces = bool(rules.get(4, 1))


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a message; numbers as they are, all else as bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        wire = key & 7
        if wire == VARINT:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if wire == BYTES:
            length, place = _varint(data, place)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} does not exist")
        if place + length > len(data):
            raise ValueError("it is cut off")
        yield key >> 3, data[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number has too many bytes")
