"""nanoGPT's ckpt.pt and minGPT's state dicts: GPT-2 in torch's own layers.

    nanoGPT  {"model": state dict, "model_args": {n_layer, n_head, n_embd, block_size, vocab_size,
             bias}, "config": {dataset, ...}, "optimizer": ...}; the head is the embedding table;
             exact GELU
    minGPT   a state dict; the head is a matrix of its own; GELU by tanh. How many heads it has
             stands in the config.json beside it, or is said with --heads

GGUF's gpt2 has biases everywhere: where a model has none they are zeros. The exact GELU is said by
`gpt2.hidden_activation`, which this engine follows; llama.cpp takes the one by tanh all the same.
Source: `model.py` of karpathy/nanoGPT, `mingpt/model.py` of karpathy/minGPT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zigllm_cli.convert.conversion import Conversion, Keys, Options, SourceTensor
from zigllm_cli.convert.hf.config import Config, read_object
from zigllm_cli.convert.torch import TorchTensor, is_torch_file, read_torch, tensors_of, values_of
from zigllm_cli.convert.values import constant
from zigllm_cli.convert.vocabularies import vocabulary_from
from zigllm_cli.errors import InputError, UnsupportedError, UsageError

CHECKPOINT = "ckpt.pt"

NORM_EPSILON = 1e-5
"""torch's own default, which both projects keep."""

BLOCK = {
    "ln_1": ("attn_norm", 1),
    "attn.c_attn": ("attn_qkv", 3),
    "attn.c_proj": ("attn_output", 1),
    "ln_2": ("ffn_norm", 1),
    "mlp.c_fc": ("ffn_up", 4),
    "mlp.c_proj": ("ffn_down", 1),
}
"""A block's modules: their GGUF names, and widths of the model that come out of them."""

BUFFERS = re.compile(r"transformer\.h\.\d+\.attn\.(masked_)?bias")
"""Causal masks, which state dicts hold too."""

IN_BLOCK = re.compile(r"transformer\.h\.(\d+)\.")

COMPILED = "_orig_mod."
"""What torch.compile puts before names."""

MINGPT_HEADS = {
    "openai-gpt": 12, "gpt2": 12, "gpt2-medium": 16, "gpt2-large": 20, "gpt2-xl": 25,
    "gopher-44m": 16, "gpt-mini": 6, "gpt-micro": 4, "gpt-nano": 3,
}  # fmt: skip
"""minGPT's `model_type`s."""


@dataclass(frozen=True)
class Checkpoint:
    """What was found in a file.

    Attributes:
        project: "nanoGPT" or "minGPT".
        tensors: without buffers, under the names of the state dict.
        arguments: of the model, as far as they are known.
        dataset: that nanoGPT was trained on.
    """

    path: Path
    project: str
    tensors: dict[str, TorchTensor]
    arguments: Mapping[str, Any]
    dataset: str = ""


def recognises(path: Path) -> bool:
    """A file of torch.save, or a folder with a ckpt.pt."""
    return (path / CHECKPOINT).is_file() or (path.is_file() and is_torch_file(path))


def read(path: Path, options: Options) -> Conversion:
    """The model of a checkpoint.

    Raises:
        InputError: it is damaged, lacks tensors, or nothing is known of its vocabulary.
        UnsupportedError: a torch file of another program.
        UsageError: the number of heads is not known.
    """
    checkpoint = find_checkpoint(path / CHECKPOINT if path.is_dir() else path)
    rows, width = _table(checkpoint, "transformer.wte")
    numbers = [int(match[1]) for match in map(IN_BLOCK.match, checkpoint.tensors) if match]
    blocks = 1 + max(numbers, default=-1)
    keys = Keys("gpt2")
    keys.u32(".block_count", blocks)
    keys.u32(".context_length", _table(checkpoint, "transformer.wpe")[0])
    keys.u32(".embedding_length", width)
    keys.u32(".feed_forward_length", 4 * width)
    keys.u32(".attention.head_count", _heads(checkpoint, options, width))
    keys.f32(".attention.layer_norm_epsilon", NORM_EPSILON)
    keys.text(".hidden_activation", "gelu" if checkpoint.project == "nanoGPT" else "gelu_new")
    vocabulary = options.vocab_from or _vocabulary_beside(checkpoint)
    keys.values.update(vocabulary_from(vocabulary, rows).values)
    source = path if path.is_dir() else path.with_suffix("")
    return Conversion.make(
        f"a {checkpoint.project} checkpoint",
        "gpt2",
        keys,
        _tensors(checkpoint, blocks, width),
        name=options.name or source.resolve().name,
        paths=[checkpoint.path],
    )


def find_checkpoint(path: Path) -> Checkpoint:
    """The state dict of a file, and what else is said of the model.

    Raises:
        UnsupportedError: neither of the two projects'.
    """
    value = read_torch(path)
    is_nano = isinstance(value, dict) and isinstance(value.get("model_args"), dict)
    state = tensors_of(value["model"] if is_nano and "model" in value else value)
    state = {name.removeprefix(COMPILED): tensor for name, tensor in state.items()}
    if "transformer.wte.weight" not in state or "transformer.wpe.weight" not in state:
        raise UnsupportedError(
            f"{path} holds {len(state)} tensors, but not those of nanoGPT or minGPT; a Hugging Face"
            " or litgpt model is converted by its folder"
        )
    tensors = {name: tensor for name, tensor in state.items() if not BUFFERS.fullmatch(name)}
    if not is_nano:
        config = read_object(path.with_name("config.json")).get("model")
        return Checkpoint(path, "minGPT", tensors, config if isinstance(config, dict) else {})
    config = value.get("config")
    dataset = config.get("dataset") if isinstance(config, dict) else None
    name = dataset if isinstance(dataset, str) else ""
    return Checkpoint(path, "nanoGPT", tensors, value["model_args"], name)


def _table(checkpoint: Checkpoint, name: str) -> tuple[int, int]:
    shape = checkpoint.tensors[f"{name}.weight"].shape
    if len(shape) != 2 or not all(shape):
        raise InputError(f"{checkpoint.path}: {name}.weight has the impossible shape {shape}")
    return shape[0], shape[1]


def _heads(checkpoint: Checkpoint, options: Options, width: int) -> int:
    said = Config(dict(checkpoint.arguments), checkpoint.path)
    heads = options.heads or said.whole("n_head") or MINGPT_HEADS.get(str(said.get("model_type")))
    if heads is None:
        raise UsageError(
            f"how many attention heads {checkpoint.path} has stands neither in it nor in a"
            " config.json beside it: say it with --heads N"
        )
    if heads < 1 or width % heads:
        raise UsageError(f"a width of {width} cannot be cut into {heads} heads")
    return heads


def _vocabulary_beside(checkpoint: Checkpoint) -> Path:
    """nanoGPT's meta.pkl, beside the checkpoint or where the project keeps it."""
    folder, dataset = checkpoint.path.resolve().parent, checkpoint.dataset
    places = [folder / "meta.pkl"]
    if re.fullmatch(r"\w[\w.-]*", dataset):
        places.append(folder.parent / "data" / dataset / "meta.pkl")
    for place in places:
        if place.is_file():
            return place
    raise InputError(
        f"there is no meta.pkl beside {checkpoint.path}: say with --vocab-from what its tokens are,"
        " by a GGUF file or tokenizer's folder (GPT-2), a meta.pkl, or the text that has them"
    )


def _tensors(checkpoint: Checkpoint, blocks: int, width: int) -> Iterator[SourceTensor]:
    """All tensors in the order of GGUF files.

    Raises:
        InputError: one is missing, has another shape, or is left over.
    """
    left = _Left(checkpoint.path, dict(checkpoint.tensors))
    rows, positions = (_table(checkpoint, f"transformer.{name}")[0] for name in ("wte", "wpe"))
    head = left.tensors.get("lm_head.weight")
    if head is not None and head.is_same(left.tensors["transformer.wte.weight"]):
        del left.tensors["lm_head.weight"]
        head = None
    yield left.take("transformer.wte.weight", "token_embd.weight", rows, width)
    yield left.take("transformer.wpe.weight", "position_embd.weight", positions, width)
    for block in range(blocks):
        for name, (new, parts) in BLOCK.items():
            columns = {"ffn_down": (4 * width,)}.get(new, () if "norm" in new else (width,))
            yield from left.module(
                f"transformer.h.{block}.{name}", f"blk.{block}.{new}", parts * width, *columns
            )
    yield from left.module("transformer.ln_f", "output_norm", width)
    if head is not None:
        yield left.take("lm_head.weight", "output.weight", rows, width)
    left.check_empty()


@dataclass(frozen=True)
class _Left:
    """The tensors of a state dict that have not been taken yet."""

    path: Path
    tensors: dict[str, TorchTensor]

    def take(self, name: str, new: str, *shape: int) -> SourceTensor:
        """One of them, under its GGUF name."""
        if name not in self.tensors:
            raise InputError(f"{self.path} lacks the tensor {name}")
        tensor = self.tensors.pop(name)
        if tensor.shape != shape:
            raise InputError(f"{self.path}: {name} has shape {tensor.shape} instead of {shape}")
        return values_of(name, tensor).becomes(new)

    def module(self, name: str, new: str, *shape: int) -> Iterator[SourceTensor]:
        """A weight and its bias, which is zeros where the model has none."""
        yield self.take(f"{name}.weight", f"{new}.weight", *shape)
        if f"{name}.bias" in self.tensors:
            yield self.take(f"{name}.bias", f"{new}.bias", shape[0])
        else:
            yield constant(f"{new}.bias", [0.0] * shape[0]).becomes(f"{new}.bias")

    def check_empty(self) -> None:
        """Whether all were taken."""
        for name in self.tensors:
            raise InputError(f"{self.path} has the tensor {name}, which is unknown here")
