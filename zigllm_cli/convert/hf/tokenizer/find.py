"""Which vocabulary a folder has, by the files that are there and by what they hold."""

from __future__ import annotations

from dataclasses import replace

from zigllm_cli.convert.conversion import Options
from zigllm_cli.convert.hf.config import Config, read_object
from zigllm_cli.convert.hf.tokenizer.files import TokenizerFiles
from zigllm_cli.convert.hf.tokenizer.forms import (
    byte_level,
    merge_texts,
    qwen_tiktoken,
    sentence_pieces,
    spaced_bpe,
    unigram,
    vocabulary_ids,
    word_pieces,
    xlm_roberta,
)
from zigllm_cli.convert.hf.tokenizer.sentencepiece import SentencePiece
from zigllm_cli.convert.hf.tokenizer.vocabulary import MAX_TOKENS, Vocabulary, checked_ids
from zigllm_cli.errors import InputError, UnsupportedError


def find_vocabulary(files: TokenizerFiles, config: Config, options: Options) -> Vocabulary | None:
    """The vocabulary of a folder, None where it has none.

    Raises:
        InputError: a file is damaged.
        UnsupportedError: a kind that GGUF has no name for.
    """
    found = _found(files, config, options)
    return replace(found, pre=options.pre) if found is not None and options.pre else found


def _found(files: TokenizerFiles, config: Config, options: Options) -> Vocabulary | None:
    kind = files.model.get("type")
    if kind is None and "vocab" in files.model:
        kind = "BPE" if "merges" in files.model else "WordPiece"
    by_bytes = "ByteLevel" in str(files.tokenizer.get("pre_tokenizer"))
    size = _size(config)
    if kind == "BPE" and by_bytes:
        return byte_level(files, vocabulary_ids(files), merge_texts(files), size, options)
    if kind == "WordPiece":
        return word_pieces(files, vocabulary_ids(files), size)
    if files.has("tokenizer.model"):
        piece = SentencePiece.read(files.folder / "tokenizer.model")
        return sentence_pieces(piece, files, size)
    if kind == "Unigram":
        return unigram(files, size)
    if kind == "BPE":
        return spaced_bpe(files, size)
    if kind is not None:
        raise UnsupportedError(f"{files.folder}: tokenizers of type {kind!r:.40} are not converted")
    if files.has("vocab.json") and files.has("merges.txt"):
        merges = _merges_file(files.text("merges.txt"))
        ids = checked_ids(read_object(files.folder / "vocab.json"), files)
        return byte_level(files, ids, merges, size, options)
    if files.has("vocab.txt"):
        lines = files.text("vocab.txt").split("\n")
        lines = lines[:-1] if lines and not lines[-1] else lines
        return word_pieces(files, {line.rstrip("\r"): i for i, line in enumerate(lines)}, size)
    if files.has("sentencepiece.bpe.model"):
        return xlm_roberta(SentencePiece.read(files.folder / "sentencepiece.bpe.model"), size)
    if files.has("qwen.tiktoken"):
        return qwen_tiktoken(files, size)
    for name in ("tekken.json", "tiktoken.model", "hy.tiktoken", "spiece.model"):
        if files.has(name):
            raise UnsupportedError(
                f"the tokenizer {files.folder / name} is of a form that is not converted; "
                "put the model's tokenizer.json beside it"
            )
    return None


def _size(config: Config) -> int | None:
    size = config.whole("vocab_size")
    if size is not None and not 0 < size <= MAX_TOKENS:
        raise InputError(f"{config.path}: a vocabulary of {size} tokens is impossible")
    if size is not None and "mamba" in str(config.get("model_type")):
        multiple = config.whole("pad_vocab_size_multiple") or 8
        size = -(-size // multiple) * multiple
    return size


def _merges_file(text: str) -> list[str]:
    lines = text.splitlines()
    if lines and lines[0].startswith("#"):
        del lines[0]
    return [" ".join(line.split(" ")[:2]) for line in lines if len(line.split(" ")) == 2]
