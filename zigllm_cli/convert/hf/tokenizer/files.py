"""The files that describe a tokenizer, as they lie in a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from zigllm_cli.convert.hf.config import read_object
from zigllm_cli.errors import InputError


@dataclass(frozen=True)
class AddedToken:
    """A token that was added to a vocabulary: found in text before anything else happens to it."""

    id: int
    text: str
    special: bool


@dataclass(frozen=True)
class TokenizerFiles:
    """What a folder says about its tokenizer; empty where a file is missing.

    Attributes:
        tokenizer: `tokenizer.json`.
        config: `tokenizer_config.json`.
        config_added: the tokens that `tokenizer_config.json` and `added_tokens.json` add.
        json_added: those of `tokenizer.json`.
    """

    folder: Path
    tokenizer: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    config_added: tuple[AddedToken, ...] = ()
    json_added: tuple[AddedToken, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises InputError where a file is damaged."""
        tokenizer = read_object(folder / "tokenizer.json")
        config = read_object(folder / "tokenizer_config.json")
        added = read_object(folder / "added_tokens.json")
        decoder = config.get("added_tokens_decoder") or {}
        try:
            older = [AddedToken(int(id), str(text), False) for text, id in added.items()]
            newer = [
                AddedToken(int(id), str(row["content"]), bool(row.get("special")))
                for id, row in decoder.items()
            ]
            in_json = [
                AddedToken(int(row["id"]), str(row["content"]), bool(row.get("special")))
                for row in tokenizer.get("added_tokens") or ()
            ]
        except (TypeError, ValueError, KeyError, AttributeError):
            raise InputError(f"{folder}: the added tokens of the tokenizer are damaged") from None
        return cls(folder, tokenizer, config, (*older, *newer), tuple(in_json))

    @property
    def model(self) -> dict[str, Any]:
        """The model of `tokenizer.json`."""
        found = self.tokenizer.get("model")
        return found if isinstance(found, dict) else {}

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def text(self, name: str) -> str:
        """The content of a text file.

        Raises:
            InputError: it is no UTF-8.
        """
        try:
            return (self.folder / name).read_text("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{self.folder / name} is no text in UTF-8") from None

    def token_text(self, kind: str) -> str | None:
        """The text of the token that `tokenizer_config.json` calls `bos_token`, `eos_token` ..."""
        entry = self.config.get(f"{kind}_token")
        if isinstance(entry, dict):
            entry = entry.get("content")
        return entry if isinstance(entry, str) else None
