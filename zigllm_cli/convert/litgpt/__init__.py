"""litgpt's folders: lit_model.pth with model_config.yaml, and LoRA beside its base.

    config    model_config.yaml as the config.json that transformers would have
    weights   tensors under the names of transformers; fused rows taken apart, LoRA merged

From there on it is a Hugging Face model. Source: `litgpt/model.py`, `litgpt/config.py`,
`litgpt/lora.py` and `litgpt/scripts/convert_lit_checkpoint.py`.
"""

from __future__ import annotations

from pathlib import Path

from zigllm_cli.convert.conversion import Conversion, Keys, Options

MODEL, LORA, CONFIG = "lit_model.pth", "lit_model.pth.lora", "model_config.yaml"


def recognises(path: Path) -> bool:
    """A folder with both files, or the file with the other one beside it."""
    folder = path if path.is_dir() else path.parent
    names = (MODEL, LORA) if path.is_dir() else (path.name,)
    found = any(name.startswith(MODEL) and (folder / name).is_file() for name in names)
    return found and (folder / CONFIG).is_file()


def read(path: Path, options: Options) -> Conversion:
    """The model of a folder; where it holds only LoRA, merged into its base.

    Raises:
        InputError: a file is damaged, or lacks a tensor.
        UnsupportedError: a model that is built like none that is converted.
        UsageError: the base of LoRA is not known.
    """
    from zigllm_cli.convert.hf.families import family_of
    from zigllm_cli.convert.hf.tokenizer import put_tokenizer
    from zigllm_cli.convert.litgpt.config import read_config
    from zigllm_cli.convert.litgpt.weights import read_weights
    from zigllm_cli.convert.vocabularies import TOKENS, filled, vocabulary_from

    folder = path if path.is_dir() else path.parent
    shape = read_config(folder / CONFIG)
    weights = read_weights(folder, shape, options.base)
    config = shape.as_transformers(weights.rows)
    family = family_of(config)
    keys = Keys(family.architecture)
    family.put_keys(keys)
    notes = list(weights.notes)
    if options.vocab_from:
        keys.values.update(vocabulary_from(options.vocab_from, weights.rows).values)
    else:
        notes += put_tokenizer(keys, folder, config, options)
        if TOKENS in keys.values:
            filled(keys, weights.rows, str(folder))
    return Conversion.make(
        f"a litgpt checkpoint, {config.model_class}",
        family.architecture,
        keys,
        list(family.tensors(weights.values)),
        name=options.name or folder.resolve().name,
        paths=weights.paths,
        notes=[*family.notes, *notes],
    )
