"""Tokenizers, one file per kind; `tokenizer.ggml.model` says which one a model uses."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from zigllm_cli.tokenizers.base import Tokenizer
from zigllm_cli.tokenizers.stream import TextStream
from zigllm_cli.tokenizers.vocabulary import TokenType, Vocabulary

CLASSES = {
    "llama": ("spm", "SentencePieceTokenizer"),
    "gpt2": ("bpe", "BytePairTokenizer"),
    "gemma4": ("bpe", "BytePairTokenizer"),
    "whitespace": ("whitespace", "WhitespaceTokenizer"),
    "hybriddna": ("hybriddna", "HybridDnaTokenizer"),
    "bert": ("wordpiece", "WordPieceTokenizer"),
    "t5": ("unigram", "UnigramTokenizer"),
    "rwkv": ("rwkv", "RwkvTokenizer"),
    "plamo2": ("plamo2", "Plamo2Tokenizer"),
    "none": ("none", "NoTokenizer"),
    "no_vocab": ("none", "NoTokenizer"),
}
"""`tokenizer.ggml.model` to the module and class; imported when a file needs it."""


def from_metadata(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a model's metadata describes.

    Raises:
        InputError: keys are missing or contradict each other.
        UnsupportedError: an unknown tokenizer model or pre-tokenizer name.
    """
    vocabulary = Vocabulary(metadata)
    module, name = CLASSES[vocabulary.model]
    kind = getattr(import_module(f"{__name__}.{module}"), name)
    tokenizer: Tokenizer = kind(vocabulary)
    return tokenizer


__all__ = ["TextStream", "TokenType", "Tokenizer", "Vocabulary", "from_metadata"]
