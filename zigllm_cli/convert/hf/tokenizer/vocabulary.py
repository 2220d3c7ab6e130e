"""A vocabulary as GGUF holds it: texts, kinds, scores, merges."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.tokenizer.files import AddedToken, TokenizerFiles
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import ValueType
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType

MAX_TOKENS = 1 << 24
LOOKS_SPECIAL = re.compile(
    r"<pad>|<mask>|<2mass>|\[@BOS@\]|<\|.*\|>|<｜.*｜>|<unused.*>", re.DOTALL
)
"""Added tokens that steer, whatever their files say of them (Command R, DeepSeek, Gemma)."""


@dataclass(frozen=True)
class Vocabulary:
    """One vocabulary.

    Attributes:
        model: `tokenizer.ggml.model`.
        keys: more keys of this kind, name without `tokenizer.ggml.` to type and value.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float] | None = None
    merges: list[str] | None = None
    keys: dict[str, tuple[ValueType, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def put(self, keys: Keys) -> None:
        """Set the keys of the vocabulary itself."""
        keys.text("tokenizer.ggml.model", self.model)
        keys.text("tokenizer.ggml.pre", self.pre)
        keys.array("tokenizer.ggml.tokens", ValueType.STRING, self.tokens)
        keys.array("tokenizer.ggml.scores", ValueType.FLOAT32, self.scores)
        keys.array("tokenizer.ggml.token_type", ValueType.INT32, self.types)
        keys.array("tokenizer.ggml.merges", ValueType.STRING, self.merges)
        for name, (kind, value) in self.keys.items():
            keys.put(f"tokenizer.ggml.{name}", kind, value)

    def id_of(self, text: str) -> int | None:
        """The id of a token, None where there is none."""
        try:
            return self.tokens.index(text)
        except ValueError:
            return None


def checked_ids(ids: Any, files: TokenizerFiles) -> dict[str, int]:
    if not isinstance(ids, dict) or not all(type(i) is int and i >= 0 for i in ids.values()):
        raise InputError(f"{files.folder}: the tokenizer's vocabulary is damaged")
    return ids


def listed(
    files: TokenizerFiles, ids: dict[str, int], size: int | None
) -> tuple[list[str], list[int]]:
    """Texts and types by id; ids that nothing has are unused."""
    added = {token.id: token for token in (*files.config_added, *files.json_added)}
    largest = max((*ids.values(), *added), default=-1)
    if size is not None and largest >= size:
        raise InputError(
            f"{files.folder}: the tokenizer has an id {largest}, and the model {size} tokens"
        )
    count = size if size is not None else largest + 1
    if count > MAX_TOKENS:
        raise InputError(f"{files.folder}: the tokenizer has an id {largest}, which is impossible")
    tokens = [f"[PAD{i}]" for i in range(count)]
    types = [int(TokenType.UNUSED)] * count
    for text, index in ids.items():
        tokens[index], types[index] = text, TokenType.NORMAL
    for index, token in added.items():
        tokens[index], types[index] = added_text(token)
    return tokens, types


def added_text(token: AddedToken) -> tuple[str, int]:
    """An added token's text and type; what is not special is text, with plain spaces."""
    if token.special or LOOKS_SPECIAL.fullmatch(token.text):
        return token.text, TokenType.CONTROL
    return token.text.replace(SPACE, " "), TokenType.USER_DEFINED
