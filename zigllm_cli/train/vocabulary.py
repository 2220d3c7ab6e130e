"""A vocabulary made from the text that a model is trained on: its characters, or byte-level BPE.

Both are written as `tokenizer.ggml.model = gpt2`, which every GGUF engine reads: bytes spelt as
visible characters (`tokenizers.bytelevel`), and merges. A vocabulary of characters is one whose
merges do nothing but put the bytes of a character together. Encoding is the engine's own, on the
metadata that the file will hold: what is trained on is what is run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zigllm_cli.errors import UsageError
from zigllm_cli.gguf.entry import Entry
from zigllm_cli.tokenizers import Tokenizer, TokenType, from_metadata
from zigllm_cli.tokenizers.bytelevel import TO_BYTE, visible
from zigllm_cli.tokenizers.characters import repaired
from zigllm_cli.tokenizers.pretokenizers import pretokenizer
from zigllm_cli.train.entries import entry_of
from zigllm_cli.train.pairs import learn_merges

END = "<|endoftext|>"
"""Stands between documents: begins one (BOS) and ends one (EOS)."""

BYTES = "".join(sorted(TO_BYTE))
"""The 256 bytes as visible characters, in GPT-2's order."""

CHARACTERS_PRE, BPE_PRE = "gpt-2", "smollm"
"""`tokenizer.ggml.pre`: how text is cut into words. The second also takes digits one by one."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and merges, as a GGUF file holds them.

    Attributes:
        pieces: ordinary tokens by id, in GPT-2's spelling.
        merges: pairs in the order of their rank.
        special: control tokens, whose ids follow those of the pieces; `END` is one of them.
        pre: `tokenizer.ggml.pre`.
        add_bos: whether a prompt begins with `END`, as documents do in training.
    """

    pieces: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    special: tuple[str, ...]
    pre: str
    add_bos: bool = True

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.pieces) + len(self.special)

    @property
    def end(self) -> int:
        """The id of `END`."""
        return len(self.pieces) + self.special.index(END)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, in which special tokens count as such; nothing is put around them."""
        return self.tokenizer.encode(text, add_special=False, parse_special=True)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens included."""
        return self.tokenizer.decode(ids, render_special=True)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What the engine will encode with."""
        return from_metadata(self.metadata())

    def metadata(self) -> dict[str, Any]:
        """The `tokenizer.ggml.*` keys, with values as Python has them."""
        kinds = [TokenType.NORMAL] * len(self.pieces) + [TokenType.CONTROL] * len(self.special)
        values = {
            "model": "gpt2",
            "pre": self.pre,
            "tokens": [*self.pieces, *self.special],
            "token_type": [int(kind) for kind in kinds],
            "merges": [f"{left} {right}" for left, right in self.merges],
            "bos_token_id": self.end,
            "eos_token_id": self.end,
            "add_bos_token": self.add_bos,
        }
        return {f"tokenizer.ggml.{name}": value for name, value in values.items()}

    def entries(self) -> list[Entry]:
        """`metadata`, ready to be written."""
        return [entry_of(key, value) for key, value in self.metadata().items()]


def train_characters(text: str, special: Sequence[str] = (), *, add_bos: bool = True) -> Vocabulary:
    """Every character of the text a token, in the order of their code points.

    Characters beyond ASCII are merged from bytes. Files of this kind have tokens for what is merged
    on the way too; these stand behind the characters, and no text of known characters uses them.
    What the vocabulary lacks is left out when a text is encoded.

    Raises:
        UsageError: a special token that is empty or given twice.
    """
    special = _special(special)
    spelt = [visible(character) for character in sorted(set("".join(_parts(text, special))))]
    merges = dict.fromkeys(pair for word in spelt for pair in _merges_of(word))
    pieces = dict.fromkeys(spelt)
    for left, right in merges:
        pieces.update(dict.fromkeys((left, right)))
    return Vocabulary(tuple(pieces), tuple(merges), special, CHARACTERS_PRE, add_bos)


def train_bpe(
    text: str, size: int, special: Sequence[str] = (), *, add_bos: bool = True
) -> Vocabulary:
    """Byte-level BPE of `size` tokens, special ones included; fewer if the text has no more.

    Raises:
        UsageError: no room for the 256 bytes, or a special token that is empty or given twice.
    """
    special = _special(special)
    room = size - len(BYTES) - len(special)
    if room < 0:
        raise UsageError(
            f"a vocabulary of {size} tokens is too small: 256 bytes and {len(special)} special "
            f"tokens need {size - room}"
        )
    words: Counter[str] = Counter()
    for part in _parts(text, special):
        words.update(pretokenizer(BPE_PRE).split(part))
    counts = {visible(word): count for word, count in words.items()}
    merges = tuple(learn_merges(counts, BYTES, room))
    pieces = dict.fromkeys([*BYTES, *(left + right for left, right in merges)])
    return Vocabulary(tuple(pieces), merges, special, BPE_PRE, add_bos)


def _special(texts: Sequence[str]) -> tuple[str, ...]:
    special = (END, *(text for text in texts if text != END))
    if len(set(special)) < len(special) or any(len(text) < 2 for text in special):
        raise UsageError(f"special tokens need two characters and more, and differ: {texts!r}")
    return special


def _parts(text: str, special: Sequence[str]) -> list[str]:
    """The ordinary text between special tokens, as the tokenizer will see it."""
    parts = re.split("|".join(map(re.escape, sorted(special, key=len, reverse=True))), text)
    return [repaired(part) for part in parts if part]


def _merges_of(word: str) -> Iterable[tuple[str, str]]:
    """The merges that put the bytes of one character together, from left to right."""
    return ((word[:at], word[at]) for at in range(1, len(word)))
