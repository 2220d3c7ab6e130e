"""What a person wants to know first about a model file; one `Summary`, one screen.

Only keys and tensor descriptions are read, no tensor bytes, and nothing is assumed: a fact the
file does not state is None. Sizes are bytes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from zigllm_cli.gguf import GGUFFile
from zigllm_cli.inspection.filetypes import FILE_TYPES
from zigllm_cli.inspection.hyper import Hyperparameters
from zigllm_cli.inspection.memory import Memory, estimate
from zigllm_cli.inspection.tokens import TokenizerFacts, tokenizer_facts

TEMPLATE_KEY = "tokenizer.chat_template"


@dataclass(frozen=True)
class Share:
    """One tensor type of the quantisation mix.

    Attributes:
        fraction: of the bytes of all tensors, 0 to 1.
    """

    type: str
    tensors: int
    parameters: int
    bytes: int
    bits_per_weight: float
    fraction: float


@dataclass(frozen=True)
class Shape:
    """The hyper-parameters of a transformer; pairs are (smallest, largest) over the layers.

    Attributes:
        original_context_length: before the context was stretched by `rope_scaling`.
    """

    context_length: int | None
    rope_scaling: str | None
    rope_factor: float | None
    original_context_length: int | None
    block_count: int | None
    embedding_length: int | None
    head_count: tuple[int, int] | None
    head_count_kv: tuple[int, int] | None
    key_length: int | None
    value_length: int | None
    feed_forward_length: tuple[int, int] | None
    expert_count: int | None
    expert_used_count: int | None
    sliding_window: int | None


@dataclass(frozen=True)
class Template:
    """One chat template: "" is the main one, others have names. `length` is in characters."""

    name: str
    length: int


@dataclass(frozen=True)
class Summary:
    """The facts of one model file.

    Attributes:
        name: `general.name`, or else the file's name.
        architecture: "" where the file names none.
        file_type: name of the mix that the file claims to be, or "mostly TYPE" by its bytes.
        active_parameters: used for one token; less than `parameters` with experts.
        bits_per_weight: over all tensors; None without tensors.
    """

    name: str
    architecture: str
    type: str | None
    license: str | None
    files: tuple[str, ...]
    file_bytes: int
    gguf_version: int
    byte_order: str
    alignment: int
    tensors: int
    parameters: int
    active_parameters: int
    file_type: str | None
    bits_per_weight: float | None
    mix: tuple[Share, ...]
    shape: Shape
    tokenizer: TokenizerFacts | None
    chat_templates: tuple[Template, ...]
    memory: Memory


def summarise(file: GGUFFile, context: int | None = None, kv: str | None = None) -> Summary:
    """The facts about `file`; memory for `context` tokens and the cache type `kv`.

    Raises:
        UsageError: `kv` is not a cache type.
    """
    mix = quantisation_mix(file)
    parameters = sum(share.parameters for share in mix)
    return Summary(
        name=_text(file, "general.name") or file.path.stem,
        architecture=file.architecture,
        type=_text(file, "general.type"),
        license=_text(file, "general.license"),
        files=tuple(str(path) for path in file.paths),
        file_bytes=file.size,
        gguf_version=file.version,
        byte_order="big" if file.byte_order == ">" else "little",
        alignment=file.alignment,
        tensors=len(file.tensors),
        parameters=parameters,
        active_parameters=_active(file, parameters),
        file_type=file_type_name(file, mix),
        bits_per_weight=8 * sum(share.bytes for share in mix) / parameters if parameters else None,
        mix=mix,
        shape=_shape(Hyperparameters(file)),
        tokenizer=tokenizer_facts(file),
        chat_templates=chat_templates(file),
        memory=estimate(file, context, kv),
    )


def quantisation_mix(file: GGUFFile) -> tuple[Share, ...]:
    """Tensor types with their numbers, the one with most bytes first."""
    count: Counter[Any] = Counter()
    parameters: Counter[Any] = Counter()
    size: Counter[Any] = Counter()
    for tensor in file.tensors.values():
        count[tensor.type] += 1
        parameters[tensor.type] += tensor.n_elements
        size[tensor.type] += tensor.nbytes
    whole = sum(size.values()) or 1
    return tuple(
        Share(
            type=kind.name,
            tensors=count[kind],
            parameters=parameters[kind],
            bytes=size[kind],
            bits_per_weight=kind.bits_per_weight,
            fraction=size[kind] / whole,
        )
        for kind in sorted(count, key=lambda kind: (-size[kind], kind.id))
    )


def file_type_name(file: GGUFFile, mix: tuple[Share, ...]) -> str | None:
    """What to call the mix: the file's claim if its main type occurs, else what dominates."""
    number = file.metadata.get("general.file_type")
    found = {share.type for share in mix}
    if isinstance(number, int) and number in FILE_TYPES:
        name, main = FILE_TYPES[number]
        if main in found:
            return name
    return f"mostly {mix[0].type}" if len(mix) > 1 else mix[0].type if mix else None


def chat_templates(file: GGUFFile) -> tuple[Template, ...]:
    """The chat templates of the file, the main one first."""
    found = [
        Template(key.removeprefix(TEMPLATE_KEY).removeprefix("."), len(value))
        for key, value in file.metadata.items()
        if (key == TEMPLATE_KEY or key.startswith(TEMPLATE_KEY + ".")) and isinstance(value, str)
    ]
    return tuple(sorted(found, key=lambda template: template.name))


def _active(file: GGUFFile, parameters: int) -> int:
    """Parameters that take part in one token: of the experts only those that are used."""
    hyper = Hyperparameters(file)
    experts, used = hyper.number("expert_count"), hyper.number("expert_used_count")
    if not 0 < used < experts:
        return parameters
    routed = sum(tensor.n_elements for name, tensor in file.tensors.items() if "_exps." in name)
    return parameters - routed + routed * used // experts


def _shape(hyper: Hyperparameters) -> Shape:
    key, value = hyper.head_lengths()
    scaling = hyper.text("rope.scaling.type")
    return Shape(
        context_length=hyper.number("context_length") or None,
        rope_scaling=scaling if scaling not in ("", "none") else None,
        rope_factor=hyper.fraction("rope.scaling.factor") or None,
        original_context_length=hyper.number("rope.scaling.original_context_length") or None,
        block_count=hyper.number("block_count") or None,
        embedding_length=hyper.number("embedding_length") or None,
        head_count=_span(hyper.heads()),
        head_count_kv=_span(hyper.kv_heads()),
        key_length=key or None,
        value_length=value or None,
        feed_forward_length=_span(hyper.per_layer("feed_forward_length", 0)),
        expert_count=hyper.number("expert_count") or None,
        expert_used_count=hyper.number("expert_used_count") or None,
        sliding_window=hyper.number("attention.sliding_window") or None,
    )


def _span(values: list[int]) -> tuple[int, int] | None:
    return (min(values), max(values)) if values and max(values) > 0 else None


def _text(file: GGUFFile, key: str) -> str | None:
    value = file.metadata.get(key)
    return value if isinstance(value, str) and value else None
