"""Cache sizes against numbers computed by hand from published hyper-parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zigllm_cli.errors import UsageError
from zigllm_cli.gguf import open_gguf, tensor_type
from zigllm_cli.inspection.memory import cache_plan, estimate, row_bytes

GIB = 1 << 30


def keys(arch: str, **numbers: Any) -> dict[str, Any]:
    return {f"{arch}.{name.replace('__', '.')}": value for name, value in numbers.items()}


LLAMA_2_7B = keys(
    "llama", block_count=32, embedding_length=4096, attention__head_count=32, context_length=4096
)
TINYLLAMA = keys(
    "llama",
    block_count=22,
    embedding_length=2048,
    attention__head_count=32,
    attention__head_count_kv=4,
    context_length=2048,
)
LLAMA_3_8B = keys(
    "llama",
    block_count=32,
    embedding_length=4096,
    attention__head_count=32,
    attention__head_count_kv=8,
    context_length=8192,
)
MISTRAL_NEMO = keys(
    "llama",
    block_count=40,
    embedding_length=5120,
    attention__head_count=32,
    attention__head_count_kv=8,
    attention__key_length=128,
    attention__value_length=128,
)
DEEPSEEK_V3 = keys(
    "deepseek2",
    block_count=62,
    nextn_predict_layers=1,
    embedding_length=7168,
    attention__head_count=128,
    attention__head_count_kv=1,
    attention__key_length=576,
    attention__value_length=512,
    attention__key_length_mla=192,
    attention__value_length_mla=128,
    attention__kv_lora_rank=512,
    rope__dimension_count=64,
)


@pytest.mark.parametrize(
    ("arch", "metadata", "context", "kind", "expected"),
    [
        ("llama", LLAMA_2_7B, 4096, "f16", 2 * GIB),  # 32 x 2 x 4096 x 4096 x 2
        ("llama", LLAMA_2_7B, 4096, "f32", 4 * GIB),
        ("llama", LLAMA_2_7B, 4096, "bf16", 2 * GIB),
        ("llama", LLAMA_2_7B, 4096, "q8_0", 2 * GIB * 34 // 64),
        ("llama", LLAMA_2_7B, 4096, "q4_0", 2 * GIB * 18 // 64),
        ("llama", TINYLLAMA, 2048, "f16", 44 << 20),  # 22 x 2 x 4 x 64 x 2048 x 2
        ("llama", LLAMA_3_8B, 8192, "f16", GIB),  # 32 x 2 x 8 x 128 x 8192 x 2
        ("llama", MISTRAL_NEMO, 1024, "f16", 160 << 20),  # 40 x 2 x 8 x 128 x 1024 x 2
        ("deepseek2", DEEPSEEK_V3, 4096, "f16", 61 * 576 * 4096 * 2),
    ],
)
def test_cache_of_known_models(
    build: Any, arch: str, metadata: dict[str, Any], context: int, kind: str, expected: int
) -> None:
    file = open_gguf(build(metadata, arch=arch))
    assert cache_plan(file).size(context, tensor_type(kind)) == expected
    (cache,) = estimate(file, context, kind).caches
    assert (cache.type, cache.bytes, cache.windowed_bytes) == (kind, expected, None)


def test_heads_may_differ_from_layer_to_layer(build: Any) -> None:
    metadata = keys("deci", block_count=3, embedding_length=256, attention__head_count=[8, 8, 8])
    metadata["deci.attention.head_count_kv"] = [2, 0, 4]
    metadata["deci.attention.key_length"] = 32
    plan = cache_plan(open_gguf(build(metadata, arch="deci")))
    assert plan.kind == "attention"
    assert [layer.rows for layer in plan.layers] == [(64, 64), (), (128, 128)]
    assert plan.size(10, tensor_type("f16")) == 10 * 2 * (2 * 64 + 2 * 128)


def gemma(arch: str, layers: int, **more: Any) -> dict[str, Any]:
    return keys(
        arch,
        block_count=layers,
        embedding_length=64,
        attention__head_count=4,
        attention__key_length=32,
        attention__value_length=32,
        context_length=8192,
        **more,
    )


@pytest.mark.parametrize(
    ("arch", "layers", "more", "local"),
    [
        ("gemma2", 4, {"attention__sliding_window": 1024}, [0, 2]),
        ("gemma2", 4, {}, [0, 2]),  # 4096 where the file is silent
        ("gemma3", 8, {"attention__sliding_window": 1024}, [0, 1, 2, 3, 4, 6, 7]),
        ("gemma3", 8, {}, []),
        ("gpt-oss", 4, {"attention__sliding_window": 128}, [0, 2]),
        ("olmo2", 5, {"attention__sliding_window": 128}, [0, 1, 2, 4]),
        ("olmo2", 5, {}, []),
        ("llama4", 8, {"attention__sliding_window": 5}, [0, 1, 2, 4, 5, 6]),
        (
            "gemma3",
            4,
            {"attention__sliding_window": 9, "attention__sliding_window_pattern": 2},
            [0, 2],
        ),
        (
            "gptneo",
            3,
            {
                "attention__sliding_window": 16,
                "attention__sliding_window_pattern": [False, True, False],
            },
            [1],
        ),
        ("phi3", 4, {"attention__sliding_window": 2047}, []),  # written, and ignored by engines
        ("llama", 4, {"attention__sliding_window": 4096}, []),
    ],
)
def test_sliding_windows(
    build: Any, arch: str, layers: int, more: dict[str, Any], local: list[int]
) -> None:
    plan = cache_plan(open_gguf(build(gemma(arch, layers, **more), arch=arch)))
    assert [i for i, layer in enumerate(plan.layers) if layer.window] == local


def test_windowed_bytes_stand_beside_the_upper_bound(build: Any) -> None:
    metadata = gemma("gemma2", 4, attention__sliding_window=1024)
    memory = estimate(open_gguf(build(metadata, arch="gemma2")), 8192, "f16")
    per_token = 4 * (32 + 32) * 2
    (cache,) = memory.caches
    assert cache.bytes == 4 * 8192 * per_token
    assert cache.windowed_bytes == 2 * 8192 * per_token + 2 * 1024 * per_token
    assert (memory.window, memory.windowed_layers, memory.layers) == (1024, 2, 4)
    short = estimate(open_gguf(build(metadata, arch="gemma2")), 100, "f16").caches[0]
    assert short.windowed_bytes == short.bytes


def test_recurrent_state_does_not_grow(build: Any) -> None:
    metadata = keys(
        "mamba",
        block_count=64,
        embedding_length=2560,
        attention__head_count=0,
        ssm__conv_kernel=4,
        ssm__inner_size=5120,
        ssm__state_size=16,
        context_length=1 << 20,
    )
    expected = 64 * (3 * 5120 + 16 * 5120) * 4
    file = open_gguf(build(metadata, arch="mamba"))
    memory = estimate(file)
    assert memory.cache_kind == "recurrent"
    assert [(cache.type, cache.bytes) for cache in memory.caches] == [("f32", expected)]
    assert cache_plan(file).size(1, tensor_type("f16")) == expected


def test_mamba2_convolves_the_groups_too(build: Any) -> None:
    metadata = keys(
        "mamba2",
        block_count=2,
        embedding_length=64,
        ssm__conv_kernel=4,
        ssm__inner_size=128,
        ssm__state_size=16,
        ssm__group_count=2,
    )
    plan = cache_plan(open_gguf(build(metadata, arch="mamba2")))
    assert plan.layers[0].state == 3 * (128 + 2 * 2 * 16) + 16 * 128


def test_hybrids_have_a_state_where_they_have_no_heads(build: Any) -> None:
    metadata = keys(
        "jamba",
        block_count=3,
        embedding_length=64,
        attention__head_count=4,
        ssm__conv_kernel=4,
        ssm__inner_size=128,
        ssm__state_size=16,
    )
    metadata["jamba.attention.head_count_kv"] = [0, 2, 0]
    plan = cache_plan(open_gguf(build(metadata, arch="jamba")))
    assert plan.kind == "mixed"
    assert [bool(layer.state) for layer in plan.layers] == [True, False, True]
    assert [layer.rows for layer in plan.layers] == [(), (32, 32), ()]


@pytest.mark.parametrize("arch", ["bert", "nomic-bert"])
def test_encoders_keep_nothing(build: Any, arch: str) -> None:
    metadata = keys(arch, block_count=2, embedding_length=64, attention__head_count=4)
    memory = estimate(open_gguf(build(metadata, arch=arch)), 512)
    assert (memory.cache_kind, memory.caches) == ("none", ())


def test_what_is_not_known_is_not_guessed(build: Any) -> None:
    assert estimate(open_gguf(build({}, arch="mystery"))).cache_kind == "unknown"
    memory = estimate(
        open_gguf(build(keys("llama", block_count=2, embedding_length=64, attention__head_count=4)))
    )
    assert (memory.cache_kind, memory.context, memory.caches) == ("attention", None, ())
    absurd = keys("llama", block_count=4_000_000_000, embedding_length=64)
    assert estimate(open_gguf(build(absurd)), 10).cache_kind == "unknown"


def test_rows_are_whole_blocks() -> None:
    assert row_bytes(33, tensor_type("q8_0")) == 2 * 34
    assert row_bytes(33, tensor_type("f16")) == 66


def test_unknown_cache_type_is_refused(model: Any) -> None:
    with pytest.raises(UsageError, match=r"--kv-type 'q2_k' is unknown; use one of f32, f16"):
        estimate(model("llama-k256"), 10, "q2_k")


def test_machine_memory_is_plausible(model: Any) -> None:
    memory = estimate(model("llama-k256"))
    if Path("/proc/meminfo").exists():
        assert memory.ram_total is not None
        assert memory.ram_available is not None
        assert 0 < memory.ram_available <= memory.ram_total
