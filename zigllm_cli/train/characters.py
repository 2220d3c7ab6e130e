"""The vocabulary of microgpt: every character a token, and one that stands between documents.

Written as a SentencePiece vocabulary without merges, since that kind has whole characters as
tokens: byte-level BPE would need tokens for the bytes of a character on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zigllm_cli.gguf.entry import Entry
from zigllm_cli.tokenizers import Tokenizer, TokenType, from_metadata
from zigllm_cli.tokenizers.vocabulary import SPACE
from zigllm_cli.train.entries import entry_of

BOUNDARY = "<BOS>"


@dataclass(frozen=True)
class Characters:
    """Characters in the order of their code points, then the boundary.

    Attributes:
        characters: what has a token.
    """

    characters: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Characters:
        """All that the text has, line ends excepted."""
        return cls(tuple(sorted(set(text) - {"\n"})))

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.characters) + 1

    @property
    def end(self) -> int:
        """The id of the boundary."""
        return len(self.characters)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.characters)}

    def encode(self, text: str) -> list[int]:
        """Ids of the characters."""
        return [self._ids[character] for character in text]

    def decode(self, ids: list[int]) -> str:
        """The text of ids; boundaries are left out."""
        return "".join(self.characters[i] for i in ids if i < self.end)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What the engine will encode with."""
        return from_metadata(self.metadata())

    def metadata(self) -> dict[str, Any]:
        """The `tokenizer.ggml.*` keys."""
        kinds = [TokenType.NORMAL] * self.end + [TokenType.CONTROL]
        values: dict[str, Any] = {
            "model": "llama",
            "tokens": [*(c.replace(" ", SPACE) for c in self.characters), BOUNDARY],
            "scores": [0.0] * self.size,
            "token_type": [int(kind) for kind in kinds],
            "bos_token_id": self.end,
            "eos_token_id": self.end,
            "unknown_token_id": self.end,
            "add_bos_token": True,
            "add_space_prefix": False,
        }
        return {f"tokenizer.ggml.{name}": value for name, value in values.items()}

    def entries(self) -> list[Entry]:
        """`metadata`, ready to be written."""
        return [entry_of(key, value) for key, value in self.metadata().items()]
