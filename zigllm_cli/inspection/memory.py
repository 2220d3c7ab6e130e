"""How much memory a model needs: its weights, and what it must remember of one sequence.

Sizes are bytes. What a layer remembers follows from the hyper-parameters:

    attention      one key and one value row per token: kv heads x (key + value length)
    latent (MLA)   one row per token: the compressed key/value and the rotary part together
    recurrent      a state of fixed size, always 32-bit floats, whatever the context
    encoders       nothing, they see the whole text at once

Layers with a sliding window are counted twice: in full, the upper bound that always suffices,
and with only the window kept. Activations come on top of both. Facts: llama.cpp's
`llama-hparams.cpp` and the `load_arch_hparams` of each architecture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from zigllm_cli.errors import UsageError
from zigllm_cli.gguf import GGUFFile, TensorType, tensor_type
from zigllm_cli.inspection.hyper import Hyperparameters
from zigllm_cli.machine import machine_memory

KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0")
"""Types of the cache that are compared when none is asked for."""

ALL_KV_TYPES = (*KV_TYPES, "q4_1", "iq4_nl", "q5_0", "q5_1")
"""Every type that a cache may have."""

ENCODERS = frozenset(
    (
        *("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3"),
        *("modern-bert", "neo-bert", "eurobert", "gemma-embedding", "clip"),
    )
)
"""Architectures that read a text at once and keep nothing."""

SLIDING = {
    "gemma2": (4096, 2),
    "gemma3": (0, 6),
    "gpt-oss": (0, 2),
    "olmo2": (0, 4),
    "cohere2": (0, 4),
    "llama4": (8192, 4),
    "gptneo": (0, 1),
}
"""Window where the file names none, and n of "every n-th layer sees everything".

Other architectures attend to everything even where a window is written (phi3, llama, qwen2).
"""

STATE_IN_EVERY_LAYER = frozenset(("mamba", "mamba2", "falcon-h1"))
ATTENTION_INTERVAL = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerCache:
    """What one layer remembers of one sequence.

    Attributes:
        rows: values in each row that is kept per token.
        window: tokens that are kept at most, or None for all.
        state: values of a recurrent state, independent of the context.
    """

    rows: tuple[int, ...] = ()
    window: int | None = None
    state: int = 0


@dataclass(frozen=True)
class CachePlan:
    """The caches of all layers.

    Attributes:
        kind: "attention", "latent", "recurrent", "mixed", "none" or "unknown".
    """

    kind: str
    layers: tuple[LayerCache, ...] = ()

    def size(self, context: int, kind: TensorType, *, windowed: bool = False) -> int:
        """Bytes for one sequence of `context` tokens with a cache of type `kind`."""
        total = 0
        for layer in self.layers:
            tokens = context
            if windowed and layer.window is not None:
                tokens = min(context, layer.window)
            total += tokens * sum(row_bytes(row, kind) for row in layer.rows)
            total += layer.state * FLOAT_BYTES
        return total

    @property
    def has_window(self) -> bool:
        """Whether some layers see a window only."""
        return any(layer.window is not None for layer in self.layers)

    @property
    def has_rows(self) -> bool:
        """Whether the cache grows with the context."""
        return any(layer.rows for layer in self.layers)


@dataclass(frozen=True)
class CacheSize:
    """Bytes of a cache of one type.

    Attributes:
        type: ggml name in lower case; "f32" for recurrent states.
        bytes: every layer keeps the whole context.
        windowed_bytes: layers with a sliding window keep only that; None without such layers.
    """

    type: str
    bytes: int
    windowed_bytes: int | None


@dataclass(frozen=True)
class Memory:
    """What running the model takes, in bytes.

    Attributes:
        context: tokens that were asked for, or the trained length; None where neither is known.
        cache_kind: see `CachePlan.kind`.
        window: tokens of a sliding window, if some layers have one.
        ram_total, ram_available: of this machine; None where the system does not tell.
    """

    weights: int
    context: int | None
    cache_kind: str
    caches: tuple[CacheSize, ...]
    window: int | None
    windowed_layers: int
    layers: int
    ram_total: int | None
    ram_available: int | None


def row_bytes(length: int, kind: TensorType) -> int:
    """Bytes of one row of `length` values; blocks are not split."""
    return -(-length // kind.block_size) * kind.block_bytes


def kv_type(name: str) -> TensorType:
    """The cache type of this name.

    Raises:
        UsageError: not a type that a cache may have.
    """
    if name.lower() not in ALL_KV_TYPES:
        raise UsageError(f"--kv-type {name!r} is unknown; use one of {', '.join(ALL_KV_TYPES)}")
    return tensor_type(name)


def estimate(file: GGUFFile, context: int | None = None, kv: str | None = None) -> Memory:
    """Memory for the weights and one sequence of `context` tokens (default: the trained length).

    Raises:
        UsageError: `kv` is not a cache type.
    """
    names = KV_TYPES if kv is None else (kv_type(kv).name.lower(),)
    tokens = context or Hyperparameters(file).number("context_length") or None
    plan = cache_plan(file)
    windows = [layer.window for layer in plan.layers if layer.window is not None]
    total, available = machine_memory()
    return Memory(
        weights=sum(tensor.nbytes for tensor in file.tensors.values()),
        context=tokens,
        cache_kind=plan.kind,
        caches=_sizes(plan, tokens, names),
        window=max(windows, default=None),
        windowed_layers=len(windows),
        layers=len(plan.layers),
        ram_total=total,
        ram_available=available,
    )


def _sizes(plan: CachePlan, tokens: int | None, names: tuple[str, ...]) -> tuple[CacheSize, ...]:
    if plan.kind in ("none", "unknown"):
        return ()
    if not plan.has_rows:
        return (CacheSize("f32", plan.size(0, tensor_type("F32")), None),)
    if tokens is None:
        return ()
    sizes = []
    for name in names:
        kind = tensor_type(name)
        windowed = plan.size(tokens, kind, windowed=True) if plan.has_window else None
        sizes.append(CacheSize(name, plan.size(tokens, kind), windowed))
    return tuple(sizes)


def cache_plan(file: GGUFFile) -> CachePlan:
    """What the layers of this model remember."""
    hyper = Hyperparameters(file)
    if file.architecture in ENCODERS or file.hyperparameter("attention.causal") is False:
        return CachePlan("none")
    if not hyper.layers:
        return CachePlan("unknown")
    if hyper.number("wkv.head_size"):
        return CachePlan("recurrent", (_rwkv_layer(hyper),) * hyper.layers)
    rows, kind = _rows(hyper)
    states = _states(hyper, file.architecture)
    local = _local_layers(file, hyper)
    layers = [
        LayerCache(() if state and not _keeps_both(file) else row, None, state)
        for row, state in zip(rows, states, strict=True)
    ]
    for index, window in local.items():
        if layers[index].rows:
            layers[index] = replace(layers[index], window=window)
    has_rows, has_state = any(layer.rows for layer in layers), any(states)
    if has_state:
        kind = "mixed" if has_rows else "recurrent"
    return CachePlan(kind if has_rows or has_state else "unknown", tuple(layers))


def _rows(hyper: Hyperparameters) -> tuple[list[tuple[int, ...]], str]:
    """The rows kept per token in each layer, and what kind of cache they make."""
    key, value = hyper.head_lengths()
    if hyper.number("attention.key_length_mla"):
        latent = hyper.number("attention.kv_lora_rank") + hyper.number("rope.dimension_count")
        return [(latent or key,)] * hyper.layers, "latent"
    return [
        (heads * key, heads * value) if heads * (key + value) > 0 else ()
        for heads in hyper.kv_heads()
    ], "attention"


def _states(hyper: Hyperparameters, architecture: str) -> list[int]:
    """Values of the recurrent state of each layer, 0 for layers without one."""
    state = 0
    if inner := hyper.number("ssm.inner_size"):
        size = hyper.number("ssm.state_size")
        channels = inner + 2 * hyper.number("ssm.group_count") * size
        state = max(hyper.number("ssm.conv_kernel") - 1, 0) * channels + size * inner
    elif taps := hyper.number("shortconv.l_cache"):
        state = (taps - 1) * hyper.number("embedding_length")
    if architecture in STATE_IN_EVERY_LAYER:
        return [state] * hyper.layers
    if architecture in ATTENTION_INTERVAL:
        step = hyper.number("full_attention_interval", ATTENTION_INTERVAL[architecture]) or 1
        return [state if (i + 1) % step else 0 for i in range(hyper.layers)]
    return [0 if heads else state for heads in hyper.kv_heads()]


def _keeps_both(file: GGUFFile) -> bool:
    """Whether layers have attention and a recurrent state side by side."""
    return file.architecture == "falcon-h1"


def _rwkv_layer(hyper: Hyperparameters) -> LayerCache:
    width = hyper.number("embedding_length")
    shifts = hyper.number("token_shift_count", 2)
    return LayerCache(state=width * (hyper.number("wkv.head_size") + shifts))


def _local_layers(file: GGUFFile, hyper: Hyperparameters) -> dict[int, int]:
    """Window of every layer that has one, by the layer's number."""
    if file.architecture not in SLIDING:
        return {}
    default, step = SLIDING[file.architecture]
    window = hyper.number("attention.sliding_window", default)
    if file.architecture == "llama4" and window:
        window = default  # whatever the key says, unless it says 0
    if window <= 0:
        return {}
    pattern = file.hyperparameter("attention.sliding_window_pattern")
    if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern >= 0:
        step = pattern
    listed = pattern.tolist() if hasattr(pattern, "tolist") else None
    return {index: window for index in range(hyper.layers) if _is_local(index, step, listed)}


def _is_local(index: int, step: int, listed: list[object] | None) -> bool:
    if listed is not None:
        return index < len(listed) and bool(listed[index])
    return step == 0 or index % step < step - 1
