"""Adapters that PEFT trained and saved, converted, run and merged, beside PEFT's own logits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_runs import distance

from zigllm_cli import load
from zigllm_cli.convert.conversion import Options
from zigllm_cli.convert.merge import merged
from zigllm_cli.convert.safetensors import SafetensorsFile
from zigllm_cli.convert.source import read_source
from zigllm_cli.convert.types import chosen_type, decide_types
from zigllm_cli.convert.verify import verify
from zigllm_cli.convert.write import write_conversion
from zigllm_cli.errors import InputError, UnsupportedError, UsageError, ZigllmError
from zigllm_cli.gguf import open_gguf

LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj", "up_proj"]
IDS = [5, 9, 101, 33, 12, 77, 64, 3, 18]

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama-gqa-spm", {"target_modules": LLAMA, "r": 4, "lora_alpha": 10}),
    "ranks": (
        "llama-gqa-spm",
        {
            "target_modules": ["q_proj", "up_proj", "lm_head"],
            "r": 4,
            "lora_alpha": 3,
            "rank_pattern": {"q_proj": 8},
            "alpha_pattern": {"q_proj": 40},
            "use_rslora": True,
        },
    ),
    "embedding": ("llama-gqa-spm", {"target_modules": ["embed_tokens", "v_proj"], "r": 6}),
    "gpt2": ("gpt2", {"target_modules": ["c_attn", "c_proj", "c_fc"], "r": 5}),
    "phi3": ("phi3-longrope", {"target_modules": ["qkv_proj", "gate_up_proj"], "r": 4}),
    "gptneox": ("gptneox", {"target_modules": ["query_key_value", "dense"], "r": 4}),
    "qwen2": ("qwen2", {"target_modules": ["q_proj", "k_proj", "down_proj"], "r": 2}),
}


def save(folder: Path, kit: Path, name: str) -> tuple[Path, Any, Path]:
    """An adapter of random numbers in PEFT's own form, its logits, and the base's folder."""
    import peft
    import torch
    import transformers

    model_name, settings = MODELS[name]
    base = kit / "models" / model_name / "hf"
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(**settings))
    torch.manual_seed(1)
    for parameter_name, parameter in model.named_parameters():
        if "lora_" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    with torch.no_grad():
        logits = model.eval()(torch.tensor([IDS])).logits[0].numpy()
    return folder, logits, base


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_pefts(name: str, kit: Path, tmp_path: Path, converted: Any) -> None:
    folder, wanted, base = save(tmp_path / "adapter", kit, name)
    plain = base.parent / "model-f32.gguf"
    path = converted(folder, base=base)
    file = open_gguf(path)
    assert file.metadata["general.type"] == "adapter"
    changed = load(plain, ctx=64, lora=path).logits(IDS)
    assert distance(load(plain, ctx=64).logits(IDS), wanted) > 0.01
    assert distance(changed, wanted) < 1e-4
    other = tmp_path / "merged.gguf"
    conversion = merged(read_source(base), [str(folder)], base)
    write_conversion(conversion, other, decide_types(conversion, chosen_type(conversion, "f32")))
    assert distance(load(other, ctx=64).logits(IDS), wanted) < 1e-4
    if name in ("llama", "gpt2", "phi3", "qwen2"):
        same = tmp_path / "by-gguf"
        shutil.copytree(folder, same)
        by_gguf = read_source(same, Options(base=plain))
        tensors = {key: bytes(tensor.numpy()) for key, tensor in by_gguf.tensors.items()}
        assert tensors == {key: bytes(t.data) for key, t in file.tensors.items()}


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_llama_cpp_agrees(kit: Path, tmp_path: Path, converted: Any) -> None:
    import llama_cpp_runs

    folder, wanted, base = save(tmp_path / "adapter", kit, "llama")
    path = converted(folder, base=base)
    plain = base.parent / "model-f32.gguf"
    assert distance(llama_cpp_runs.logits(plain, IDS, 64, [(path, 1.0)]), wanted) < 1e-4


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_torch_files_and_bases(kit: Path, tmp_path: Path, converted: Any, zigllm: Any) -> None:
    import torch
    from safetensors.torch import load_file

    folder, wanted, base = save(tmp_path / "adapter", kit, "llama")
    state = load_file(folder / "adapter_model.safetensors")
    torch.save(state, folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    plain = base.parent / "model-f32.gguf"
    path = tmp_path / "adapter.gguf"
    done = zigllm("convert", folder, "-o", path, "--verify")  # the folder names its base
    assert done.returncode == 0, done.stderr
    assert distance(load(plain, ctx=64, lora=path).logits(IDS), wanted) < 1e-4
    out = tmp_path / "half.gguf"
    done = zigllm("convert", base, "-o", out, "--type", "f32", "--merge-lora", f"{path}=0.5")
    assert done.returncode == 0, done.stderr
    half = load(plain, ctx=64, lora=f"{path}=0.5").logits(IDS)
    assert distance(load(out, ctx=64).logits(IDS), half) < 1e-5
    config = json.loads((folder / "adapter_config.json").read_text())
    for base_name in ("nobody/has-this", None):
        (folder / "adapter_config.json").write_text(
            json.dumps(config | {"base_model_name_or_path": base_name})
        )
        with pytest.raises(UsageError, match="--base"):
            read_source(folder)
    with pytest.raises((InputError, UnsupportedError), match=r"llama|shape"):
        merged(read_source(kit / "models" / "qwen2" / "hf"), [str(path)], base)


@pytest.fixture
def adapter(kit: Path, tmp_path: Path) -> Any:
    """Write an adapter by hand: names to arrays."""

    def write(tensors: dict[str, Any], **config: Any) -> Path:
        folder = tmp_path / "adapter"
        folder.mkdir(exist_ok=True)
        settings = {"peft_type": "LORA", "lora_alpha": 4, "r": 2} | config
        settings["base_model_name_or_path"] = str(kit / "models" / "llama-gqa-spm" / "hf")
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        save_tensors(folder / "adapter_model.safetensors", tensors)
        return folder

    return write


def save_tensors(path: Path, tensors: dict[str, Any]) -> None:
    """A safetensors file by hand."""
    table, data = {}, b""
    for name, array in tensors.items():
        raw = array.astype("<f4").tobytes()
        place = [len(data), len(data) + len(raw)]
        table[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": place}
        data += raw
    header = json.dumps(table).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_experts(adapter: Any, kit: Path, tmp_path: Path, converted: Any) -> None:
    """Beside a folder whose matrices have the changes in them."""
    rng, base = np.random.default_rng(4), kit / "models" / "mixtral" / "hf"
    weights, changed = {}, {}
    for values in SafetensorsFile(base / "model.safetensors"):
        weights[values.name] = values.floats()
        if ".1.block_sparse_moe.experts." in values.name and ".w2." not in values.name:
            rows, columns = values.shape
            a, b = rng.normal(0, 0.3, (2, columns)), rng.normal(0, 0.3, (rows, 2))
            start = f"base_model.model.{values.name.removesuffix('.weight')}"
            changed |= {f"{start}.lora_A.weight": a, f"{start}.lora_B.weight": b}
            weights[values.name] = weights[values.name] + 2 * b @ a
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in base.glob("*token*"):
        shutil.copy(path, folder)
    shutil.copy(base / "config.json", folder)
    save_tensors(folder / "model.safetensors", weights)
    wanted = load(converted(folder), ctx=64).logits(IDS)
    plain = base.parent / "model-f32.gguf"
    path = converted(adapter(changed), base=base)
    assert len(open_gguf(path).tensors) == 4
    assert distance(load(plain, ctx=64).logits(IDS), wanted) > 0.01
    assert distance(load(plain, ctx=64, lora=path).logits(IDS), wanted) < 1e-5
    some = dict(list(changed.items())[2:])
    with pytest.raises(InputError, match="3 of 4 experts"):
        read_source(adapter(some), Options(base=base))


@pytest.mark.parametrize(
    ("source", "types"), [("F16", {"F32", "F16"}), ("Q8_0", {"F32", "F16", "Q8_0"})]
)
def test_merged_into_gguf(
    source: str, types: set[str], adapter: Any, kit: Path, tmp_path: Path
) -> None:
    """What was changed becomes half floats, what was not stays as it is."""
    rng, base = np.random.default_rng(3), kit / "real" / f"stories260K-{source}.gguf"
    start = "base_model.model.model.layers.1.self_attn.v_proj"
    folder = adapter(
        {
            f"{start}.lora_A.weight": rng.normal(0, 0.1, (2, 64)),
            f"{start}.lora_B.weight": rng.normal(0, 1.5, (32, 2)),
        }
    )
    conversion = merged(read_source(base), [f"{folder}=3"], base)
    decisions = decide_types(conversion, chosen_type(conversion, "auto"))
    write_conversion(conversion, tmp_path / "merged.gguf", decisions)
    verify(conversion, decisions, tmp_path / "merged.gguf")
    old, new = open_gguf(base), open_gguf(tmp_path / "merged.gguf")
    assert {tensor.type.name for tensor in new.tensors.values()} == types
    for name, tensor in old.tensors.items():
        if name != "blk.1.attn_v.weight":
            assert bytes(tensor.data) == bytes(new.tensors[name].data)
    alone = read_source(folder, Options(base=base))
    write_conversion(alone, tmp_path / "a.gguf", decide_types(alone, chosen_type(alone, "auto")))
    beside = load(base, ctx=64, lora=[(tmp_path / "a.gguf", 3)]).logits(IDS)
    assert distance(load(base, ctx=64).logits(IDS), beside) > 0.3
    assert distance(load(tmp_path / "merged.gguf", ctx=64).logits(IDS), beside) < 0.03
    if source == "F16":
        exact = decide_types(conversion, chosen_type(conversion, "f32"))
        write_conversion(conversion, tmp_path / "exact.gguf", exact)
        assert distance(load(tmp_path / "exact.gguf", ctx=64).logits(IDS), beside) < 1e-5


def test_what_is_wrong_is_a_sentence(adapter: Any, kit: Path) -> None:
    start = "base_model.model.model.layers.0.self_attn.q_proj"
    pair = {f"{start}.lora_A.weight": np.ones((2, 64)), f"{start}.lora_B.weight": np.ones((64, 2))}
    assert list(read_source(adapter(pair)).tensors) == [
        "blk.0.attn_q.weight.lora_a",
        "blk.0.attn_q.weight.lora_b",
    ]
    settings: list[tuple[dict[str, Any], str]] = [
        ({"peft_type": "LOHA"}, "only LORA"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"lora_alpha": "x"}, "lora_alpha"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"alpha_pattern": {"(a+)+": 3}}, "no plain name"),
    ]
    for config, message in settings:
        with pytest.raises(ZigllmError, match=message):
            read_source(adapter(pair, **config))
    tensors: list[tuple[dict[str, Any], str]] = [
        ({}, "no tensors"),
        ({f"{start}.lora_A.weight": np.ones((2, 64))}, "one half"),
        ({**pair, f"{start}.lora_B.weight": np.ones((64, 3))}, "is changed by"),
        ({**pair, f"{start}.lora_magnitude_vector": np.ones(64)}, "no half"),
        ({name.replace("q_proj", "x"): array for name, array in pair.items()}, "is not a tensor"),
    ]
    for parts, message in tensors:
        with pytest.raises(ZigllmError, match=message):
            read_source(adapter(parts))
    head = {f"base_model.model.lm_head.lora_{half}.weight": np.ones((2, 2)) for half in "AB"}
    with pytest.raises(UnsupportedError, match="GGUF files do not hold"):
        read_source(adapter(head), Options(base=kit / "models" / "gemma" / "hf"))
