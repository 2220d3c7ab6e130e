"""Tokenizer files to `tokenizer.*` keys.

Which files there are decides: a `tokenizer.json` with byte-level BPE, WordPiece or Unigram is taken
as it is; otherwise `tokenizer.model` (SentencePiece), a `tokenizer.json` that was made from one,
`vocab.json` with `merges.txt`, or `vocab.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zigllm_cli.convert.conversion import Keys, Options
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.tokenizer.files import TokenizerFiles
from zigllm_cli.convert.hf.tokenizer.find import find_vocabulary
from zigllm_cli.convert.hf.tokenizer.specials import put_specials
from zigllm_cli.convert.hf.tokenizer.template import put_templates


def put_tokenizer(keys: Keys, folder: Path, config: Config, options: Options) -> list[str]:
    """Set the keys of the tokenizer; returns what the user should know.

    Raises:
        InputError: a file is damaged.
        UnsupportedError: a kind of tokenizer that GGUF has no name for.
    """
    return list(_put(keys, TokenizerFiles.read(folder), config, options))


def _put(keys: Keys, files: TokenizerFiles, config: Config, options: Options) -> Iterator[str]:
    vocabulary = find_vocabulary(files, config, options)
    if vocabulary is None:
        keys.text("tokenizer.ggml.model", "none")
        keys.u32(".vocab_size", config.whole("vocab_size"))
        yield "the folder has no tokenizer: the file takes and gives token ids only"
        return
    vocabulary.put(keys)
    put_specials(keys, files, config, vocabulary)
    put_templates(keys, files)
    yield from vocabulary.notes
