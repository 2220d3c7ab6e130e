"""A model's vocabulary: tokens, their kinds and scores, and the ids with a meaning.

Read from the `tokenizer.ggml.*` keys. Knows nothing of how text becomes tokens; the defaults
that depend on the tokenizer's kind are rows of one table. The rules (which texts end generation,
which tokens change their kind, which strip spaces) are llama.cpp's, so that ids agree with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

from zigllm_cli.errors import InputError, UnsupportedError

log = logging.getLogger(__name__)

SPACE = "\u2581"
"""The sign that stands for a space in SentencePiece vocabularies."""


class TokenType(IntEnum):
    """`tokenizer.ggml.token_type`: what a token is for."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class KindDefaults:
    """What a tokenizer kind assumes where the file is silent; ids by name in `SPECIAL_KEYS`."""

    ids: dict[str, int] = field(default_factory=dict)
    add_bos: bool = False
    add_eos: bool = False
    add_sep: bool = False
    add_space_prefix: bool = False


_BPE = KindDefaults(ids={"bos": 11, "eos": 11})

KINDS: dict[str, KindDefaults] = {
    "llama": KindDefaults(ids={"bos": 1, "eos": 2, "unk": 0}, add_bos=True, add_space_prefix=True),
    "gpt2": _BPE,
    "hybriddna": _BPE,
    "whitespace": _BPE,
    "gemma4": KindDefaults(),
    "bert": KindDefaults(
        ids={"bos": 101, "unk": 100, "sep": 102, "pad": 0, "mask": 103},
        add_bos=True,
        add_sep=True,
    ),
    "t5": KindDefaults(ids={"eos": 1, "unk": 2, "pad": 0}, add_eos=True),
    "rwkv": KindDefaults(),
    "plamo2": KindDefaults(ids={"bos": 1, "eos": 2, "unk": 0, "pad": 3}),
    "none": KindDefaults(),
    "no_vocab": KindDefaults(),
}
"""Every `tokenizer.ggml.model`."""

SPECIAL_KEYS: dict[str, tuple[str, ...]] = {
    "bos": ("bos_token_id",),
    "eos": ("eos_token_id",),
    "eot": ("eot_token_id",),
    "eom": ("eom_token_id",),
    "unk": ("unknown_token_id",),
    "sep": ("seperator_token_id",),  # the key is misspelt in every file
    "pad": ("padding_token_id",),
    "cls": ("cls_token_id",),
    "mask": ("mask_token_id",),
    "fim_pre": ("fim_pre_token_id", "prefix_token_id"),
    "fim_suf": ("fim_suf_token_id", "suffix_token_id"),
    "fim_mid": ("fim_mid_token_id", "middle_token_id"),
    "fim_pad": ("fim_pad_token_id",),
    "fim_rep": ("fim_rep_token_id",),
    "fim_sep": ("fim_sep_token_id",),
}
"""Metadata keys (behind `tokenizer.ggml.`) of the ids with a meaning; the last one given wins."""

SPECIAL_TEXTS: dict[str, tuple[str, ...]] = {
    "eot": (
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"),
        *("<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]"),
        *("<｜end▁of▁sentence｜>", "<end_of_utterance>"),
    ),
    "eom": ("<|eom_id|>",),
    "fim_pre": (
        *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>"),
        *("▁<PRE>", "<|code_prefix|>", "<|prefix|>"),
    ),
    "fim_suf": (
        *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>"),
        *("▁<SUF>", "<|code_suffix|>", "<|suffix|>"),
    ),
    "fim_mid": (
        *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>"),
        *("▁<MID>", "<|code_middle|>", "<|middle|>"),
    ),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}
"""Texts by which an id is found when no key names it."""

END_TEXTS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>"),
    *("<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]"),
    *("<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>"),
    *("<｜end▁of▁sentence｜>", "[e~["),
)
"""Tokens with these texts end generation, whatever the file's keys say."""

ALWAYS_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")
"""gpt-oss structures its answers with these; hiding them would glue the parts together."""


class Vocabulary:
    """The tokens of one model.

    Attributes:
        model: `tokenizer.ggml.model`, a key of `KINDS`.
        pre: `tokenizer.ggml.pre`, or "" where the file names none.
        tokens: text of every token; bytes that are not UTF-8 are surrogate escapes.
        ids: token text to id.
        types: `TokenType` number of every token.
        special: the ids with a meaning, by the names of `SPECIAL_KEYS`; absent ones are missing.
        end_ids: tokens that end generation.
        suppressed: tokens that are never to be generated (`tokenizer.ggml.suppress_tokens`).
    """

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata
        self.model = self._text("model")
        if self.model not in KINDS:
            raise UnsupportedError(
                f"tokenizer model {self.model!r} is unknown; known are {', '.join(KINDS)}"
            )
        self.defaults = KINDS[self.model]
        self.pre = self._text("pre")
        self.tokens = self._tokens()
        self.ids = {text: i for i, text in enumerate(self.tokens)}
        self.types = self._types()
        self.add_space_prefix = self.flag("add_space_prefix", self.defaults.add_space_prefix)
        self.special = self._special_ids()
        self.end_ids = self._end_ids()
        self.suppressed = frozenset(
            i for i in self._numbers("suppress_tokens") if 0 <= i < len(self.tokens)
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def value(self, name: str) -> Any:
        """The metadata `tokenizer.ggml.{name}` as the file has it; None where it is silent."""
        return self._metadata.get(f"tokenizer.ggml.{name}")

    def flag(self, name: str, default: bool) -> bool:
        """The boolean `tokenizer.ggml.{name}`, or `default` where the file is silent."""
        value = self._metadata.get(f"tokenizer.ggml.{name}", default)
        if not isinstance(value, bool):
            raise InputError(f"tokenizer.ggml.{name} is {value!r}, not true or false")
        return value

    def merges(self) -> list[str] | None:
        """The merge list, "left right" each, best first; None where the file has none."""
        value = self._metadata.get("tokenizer.ggml.merges")
        if value is None:
            return None
        merges = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(merges, list) or (merges and not isinstance(merges[0], str)):
            raise InputError("tokenizer.ggml.merges is not an array of texts")
        return merges

    def is_hidden(self, token: int) -> bool:
        """Whether the token prints nothing in ordinary text (control and unknown tokens)."""
        return self.types[token] in (TokenType.CONTROL, TokenType.UNKNOWN)

    @cached_property
    def scores(self) -> list[float]:
        """Score of every token; 0 where the file has none."""
        scores = self._numbers("scores")
        if not scores:
            return [0.0] * len(self.tokens)
        if len(scores) < len(self.tokens):
            raise InputError(
                f"tokenizer.ggml.scores has {len(scores)} values for {len(self.tokens)} tokens"
            )
        return [float(score) for score in scores[: len(self.tokens)]]

    @cached_property
    def byte_ids(self) -> dict[int, int]:
        """Byte value to the id of its `<0xXX>` token, or of the one-byte token where that lacks.

        Bytes that have neither are missing.
        """
        found = {}
        for byte in range(256):
            single = bytes([byte]).decode("utf-8", "surrogateescape")
            token = self.ids.get(f"<0x{byte:02X}>", self.ids.get(single))
            if token is not None:
                found[byte] = token
        return found

    def byte_of(self, token: int) -> int:
        """The byte that a BYTE token `<0xXX>` stands for."""
        try:
            return int(self.tokens[token][3:5], 16)
        except ValueError:
            raise InputError(f"byte token {self.tokens[token]!r} is not spelt <0xXX>") from None

    def strips(self) -> tuple[frozenset[int], frozenset[int]]:
        """Special tokens that swallow white space: (to their left, to their right).

        GGUF has no key for it; llama.cpp goes by names, and so do we.
        """
        name = str(self._metadata.get("general.name", "")).lower()
        architecture = str(self._metadata.get("general.architecture", ""))
        if any(part in self.pre for part in ("jina-v2-de", "jina-v2-es", "jina-v2-code")) or any(
            part in architecture for part in ("nomic-bert-moe", "jina-bert-v3")
        ):
            return self._known("<mask>"), frozenset()
        if "phi-3" in name or "phi3" in name:
            special = frozenset(self.special_tokens) | self._known("</s>")
            return frozenset(), special - self._known("<unk>", "<s>", "<|endoftext|>")
        if "modern-bert" in name:
            return self._known("[MASK]"), frozenset()
        return frozenset(), frozenset()

    @cached_property
    def special_tokens(self) -> list[int]:
        """Tokens that are cut out of the text before anything else, longest text first."""
        kinds = (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN)
        special = [i for i, kind in enumerate(self.types) if kind in kinds]
        return sorted(special, key=lambda i: -len(self.tokens[i].encode("utf-8", "replace")))

    def _known(self, *texts: str) -> frozenset[int]:
        return frozenset(self.ids[text] for text in texts if text in self.ids)

    def _text(self, name: str) -> str:
        value = self._metadata.get(f"tokenizer.ggml.{name}", "")
        if not isinstance(value, str):
            raise InputError(f"tokenizer.ggml.{name} is {value!r}, not a text")
        return value

    def _numbers(self, name: str) -> list[Any]:
        value = self._metadata.get(f"tokenizer.ggml.{name}")
        if value is None:
            return []
        numbers = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(numbers, list) or (numbers and not isinstance(numbers[0], int | float)):
            raise InputError(f"tokenizer.ggml.{name} is not an array of numbers")
        return numbers

    def _tokens(self) -> list[str]:
        if self.model in ("none", "no_vocab"):
            return []
        value: Any = self._metadata.get("tokenizer.ggml.tokens")
        tokens = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(tokens, list) or not tokens or not isinstance(tokens[0], str):
            raise InputError("tokenizer.ggml.tokens is missing, empty or not an array of texts")
        if "" in tokens:
            tokens = [text or f"[EMPTY_{i}]" for i, text in enumerate(tokens)]
        return tokens

    def _types(self) -> list[int]:
        types = self._numbers("token_type")
        if not types:
            return [TokenType.NORMAL] * len(self.tokens)
        if len(types) < len(self.tokens):
            raise InputError(
                f"tokenizer.ggml.token_type has {len(types)} values for {len(self.tokens)} tokens"
            )
        return types[: len(self.tokens)]

    def _special_ids(self) -> dict[str, int]:
        found = {}
        for name, keys in SPECIAL_KEYS.items():
            candidates = [self._metadata.get(f"tokenizer.ggml.{key}") for key in keys]
            for value in (self.defaults.ids.get(name), *candidates):
                if isinstance(value, int) and 0 <= value < len(self.tokens):
                    found[name] = value
                elif value is not None and value not in self.defaults.ids.values():
                    log.warning("%s token id %r is outside the vocabulary", name, value)
        for name, texts in SPECIAL_TEXTS.items():
            token = next((self.ids[text] for text in texts if text in self.ids), None)
            if name not in found and token is not None:
                found[name] = token
                self.types[token] = TokenType.CONTROL
        return found

    def _end_ids(self) -> frozenset[int]:
        names = ("fim_pad", "fim_rep", "fim_sep", "eos", "eot", "eom")
        ends = {self.special[name] for name in names if name in self.special}
        for token in self._known(*END_TEXTS):
            ends.add(token)
            self.types[token] = TokenType.CONTROL
        for token in self._known(*ALWAYS_SHOWN):
            self.types[token] = TokenType.USER_DEFINED
        texts = {self.tokens[token] for token in ends}
        if texts >= {"<|return|>", "<|call|>", "<|end|>"} or (
            texts >= {"<|flush|>", "<|end|>"} and texts & {"<|call|>", "<|calls|>"}
        ):
            ends -= self._retype("<|end|>", TokenType.USER_DEFINED)
        if "</s>" in texts and texts & {"<|tool_response>", "<|plamo:eos|>"}:
            ends -= self._retype("</s>", TokenType.NORMAL)
        return frozenset(ends)

    def _retype(self, text: str, kind: TokenType) -> frozenset[int]:
        tokens = self._known(text)
        for token in tokens:
            self.types[token] = kind
        return tokens
