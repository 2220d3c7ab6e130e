"""Folders of weights: shards, scales, what is missing and what is too much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import CONFIG, converted, llama_folder, llama_tensors, write_safetensors

from zigllm_cli.convert.hf.weights import scaled
from zigllm_cli.convert.source import read_source
from zigllm_cli.convert.values import Values
from zigllm_cli.errors import InputError, UnsupportedError, ZigllmError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.gguf.types import tensor_type


def shards(folder: Path, count: int = 3) -> dict[str, str]:
    """The small Llama in several files with an index."""
    llama_folder(folder)
    (folder / "model.safetensors").unlink()
    tensors = llama_tensors()
    names: dict[str, str] = {}
    for number in range(count):
        part = f"model-{number + 1:05}-of-{count:05}.safetensors"
        mine = dict(list(tensors.items())[number::count])
        write_safetensors(folder / part, {name: ("F32", array) for name, array in mine.items()})
        names |= dict.fromkeys(mine, part)
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return names


def test_shards_are_one_model(tmp_path: Path) -> None:
    shards(tmp_path / "many")
    converted(tmp_path / "many", tmp_path / "many.gguf")
    converted(llama_folder(tmp_path / "one"), tmp_path / "one.gguf")
    many, one = (open_gguf(tmp_path / f"{name}.gguf").tensors for name in ("many", "one"))
    assert {*many} == {*one}
    assert all(many[name].data == one[name].data for name in one)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shards(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-00002-of-00003\.safetensors is missing"):
        read_source(tmp_path)


def test_an_index_that_promises_more(tmp_path: Path) -> None:
    names = shards(tmp_path) | {"model.layers.0.extra": "model-00001-of-00003.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(InputError, match=r"lacks model\.layers\.0\.extra"):
        read_source(tmp_path)


def test_an_index_must_not_leave_its_folder(tmp_path: Path) -> None:
    names = dict.fromkeys(shards(tmp_path / "hf"), "../outside.safetensors")
    (tmp_path / "hf/model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(InputError, match="not in its folder"):
        read_source(tmp_path / "hf")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model.layers.1.mlp.up_proj.weight": None}, r"blk\.1\.ffn_up"),
        ({"model.norm.weight": None}, "output_norm"),
        ({"model.layers.0.mlp.odd.weight": np.ones((2, 2))}, r"layers\.0\.mlp\.odd\.weight is not"),
        ({"model.layers.2.mlp.up_proj.weight": np.ones((2, 2))}, "belongs to layer 2"),
        ({"model.norm.weight": np.ones(33)}, r"output_norm\.weight has the shape \[33\]"),
        ({"model.layers.0.self_attn.q_proj.weight": np.ones((30, 32))}, "does not have 4 heads"),
    ],
)
def test_missing_and_extra_tensors_are_named(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    tensors = {
        name: np.asarray(array, np.float32)
        for name, array in (llama_tensors() | change).items()
        if array is not None
    }
    with pytest.raises(InputError, match=says):
        read_source(llama_folder(tmp_path, tensors))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"architectures": ["NoSuchModel"]}, UnsupportedError, "class 'NoSuchModel'"),
        ({"architectures": "x"}, UnsupportedError, "not converted"),
        ({"hidden_size": "wide"}, InputError, "hidden_size is 'wide', not a whole number"),
        ({"hidden_size": None}, InputError, "lacks hidden_size"),
        ({"num_attention_heads": 0}, InputError, "0 attention heads"),
        ({"rope_scaling": {"rope_type": "odd"}}, InputError, "rope_type is 'odd'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, InputError, "YaRN needs"),
        ({"rope_scaling": [1]}, InputError, "not an object"),
        ({"vocab_size": 2**40}, InputError, "is impossible"),
    ],
)
def test_impossible_configs(
    tmp_path: Path, change: dict[str, Any], error: type[ZigllmError], says: str
) -> None:
    with pytest.raises(error, match=says):
        read_source(llama_folder(tmp_path, **change))


EXPERTS = {
    "architectures": ["MixtralForCausalLM"],
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"1.w2": None}, r"layer 0 lacks the tensor block_sparse_moe\.experts\.1\.w2\.weight"),
        ({"0.w2": None, "1.w2": None}, r"lacks the tensor block_sparse_moe\.experts\.0\.w2"),
        ({"2.w1": np.ones((48, 32))}, "is of expert 2, and the model has 2"),
        ({"0.w4": np.ones((48, 32))}, "is not a tensor of a llama model"),
        ({"1.w2": np.ones((48, 32))}, "they should be alike"),
    ],
)
def test_experts(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    """All of a layer become one tensor of each kind; what keeps them from it is named."""
    tensors = {name: array for name, array in llama_tensors().items() if ".mlp." not in name}
    shapes = {"w1": (48, 32), "w2": (32, 48), "w3": (48, 32)}
    for layer in range(2):
        start = f"model.layers.{layer}.block_sparse_moe"
        tensors[f"{start}.gate.weight"] = np.ones((2, 32), np.float32)
        experts = {f"{e}.{w}": np.full(shapes[w], e + 1.0) for e in range(2) for w in shapes}
        experts |= change if layer == 0 else {}
        for name, array in experts.items():
            if array is not None:
                tensors[f"{start}.experts.{name}.weight"] = array.astype(np.float32)
    with pytest.raises(InputError, match=says):
        read_source(llama_folder(tmp_path, tensors, **EXPERTS))


def test_configs_that_are_no_json(tmp_path: Path) -> None:
    llama_folder(tmp_path)
    for text in ("{", "[1]", "[" * 100_000, "\ud800"):
        (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(InputError, match="damaged"):
            read_source(tmp_path)


def test_weights_of_other_quantizers_are_refused(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.q_proj"
    tensors = llama_tensors()
    tensors[f"{name}.qweight"] = tensors.pop(f"{name}.weight")
    folder = llama_folder(tmp_path, tensors, quantization_config={"quant_method": "gptq"})
    with pytest.raises(UnsupportedError, match="by gptq"):
        read_source(folder)


@pytest.mark.parametrize("shape", [(), (1,), (256,), (256, 1), (1, 300), (2, 3)])
def test_scales(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((256, 300)).astype(np.float32)
    scale = rng.random(shape).astype(np.float32)
    values, scales = (
        Values(name, array.shape, tensor_type("F32"), lambda array=array: array.copy())
        for name, array in (("x.weight", matrix), ("x.weight_scale_inv", np.asarray(scale)))
    )
    if shape == (2, 3):
        wanted = matrix * np.kron(scale, np.ones((128, 128), np.float32))[:, :300]
    elif shape == (256,):
        wanted = matrix * scale[:, None]
    else:
        wanted = matrix * scale
    np.testing.assert_array_equal(scaled(values, scales).read(), wanted)


def test_scales_that_do_not_fit() -> None:
    one = Values("x", (256, 256), tensor_type("F32"), lambda: np.ones((256, 256)))
    for shape in ((3,), (2, 2, 2), (5, 1)):
        other = Values("s", shape, tensor_type("F32"), lambda shape=shape: np.ones(shape))
        with pytest.raises(InputError, match="does not fit"):
            scaled(one, other)


@pytest.mark.oracle
def test_8_bit_weights_as_torch_multiplies_them(tmp_path: Path) -> None:
    import torch

    config = CONFIG | {"hidden_size": 256, "intermediate_size": 384}
    tensors = llama_tensors(config)
    name = "model.layers.0.mlp.gate_proj.weight"
    matrix = torch.from_numpy(tensors[name]).to(torch.float8_e4m3fn)
    scale = torch.rand(3, 2)
    llama_folder(tmp_path, tensors, hidden_size=256, intermediate_size=384)
    stored: dict[str, tuple[str, Any]] = {key: ("F32", array) for key, array in tensors.items()}
    stored[name] = ("F8_E4M3", matrix.view(torch.uint8).numpy())
    stored[f"{name}_scale_inv"] = ("F32", scale.numpy())
    write_safetensors(tmp_path / "model.safetensors", stored)
    converted(tmp_path, tmp_path / "out.gguf")
    blocks = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)
    wanted = (matrix.float() * blocks).numpy()
    mine = open_gguf(tmp_path / "out.gguf").tensors["blk.0.ffn_gate.weight"].numpy()
    np.testing.assert_array_equal(mine.view(np.float32), wanted)


@pytest.mark.oracle
def test_torch_files_give_the_same(tmp_path: Path) -> None:
    import torch

    tensors = llama_tensors()
    converted(llama_folder(tmp_path / "one"), tmp_path / "one.gguf")
    llama_folder(tmp_path / "two")
    (tmp_path / "two/model.safetensors").unlink()
    state = {name: torch.from_numpy(array) for name, array in tensors.items()}
    torch.save(state, tmp_path / "two/pytorch_model.bin")
    converted(tmp_path / "two", tmp_path / "two.gguf")
    one, two = (open_gguf(tmp_path / f"{name}.gguf").tensors for name in ("one", "two"))
    assert list(one) == list(two)
    assert all(one[name].data == two[name].data for name in one)
