"""`none`: a model that is fed ids and has no text."""

from __future__ import annotations

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.tokenizers.base import Tokenizer


class NoTokenizer(Tokenizer):
    """Refuses text with a sentence that says why."""

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Always refused: there are no tokens."""
        raise UnsupportedError("this model has no tokenizer: give it token ids instead of text")

    def token_bytes(self, token: int) -> bytes:
        """Never reached: `piece` finds every id outside the empty vocabulary."""
        return b""
