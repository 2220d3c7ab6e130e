"""Hugging Face folders: `config.json`, weights, tokenizer files.

A new family is a class of `families/` and a row of its table; `family` tells what it may say.
"""

from __future__ import annotations

from pathlib import Path

from zigllm_cli.convert.conversion import Conversion, Keys, Options


def recognises(path: Path) -> bool:
    """Whether this is a folder with a `config.json`."""
    return (path / "config.json").is_file()


def read(path: Path, options: Options) -> Conversion:
    """The model of a folder.

    Raises:
        InputError: a file is missing or damaged.
        UnsupportedError: a family, a tokenizer or weights that are not converted.
    """
    from zigllm_cli.convert.hf.card import general_keys
    from zigllm_cli.convert.hf.config import Config, read_object
    from zigllm_cli.convert.hf.families import family_of
    from zigllm_cli.convert.hf.pooling import put_pooling
    from zigllm_cli.convert.hf.tokenizer import put_tokenizer
    from zigllm_cli.convert.hf.weights import read_weights, weight_files

    config = Config(read_object(path / "config.json"), path / "config.json")
    family = family_of(config)
    tensors = list(family.tensors(read_weights(path, config)))
    keys = Keys(family.architecture)
    family.put_keys(keys)
    put_pooling(keys, path)
    notes = [*family.notes, *put_tokenizer(keys, path, config, options)]
    return Conversion.make(
        f"Hugging Face folder, {config.model_class}",
        family.architecture,
        keys,
        tensors,
        name=options.name or path.resolve().name,
        general=general_keys(path),
        paths=weight_files(path),
        notes=notes,
    )
