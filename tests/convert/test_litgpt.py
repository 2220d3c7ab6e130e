"""litgpt folders, saved from a model that computes as litgpt's does, in torch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from model_runs import distance

from zigllm_cli import load
from zigllm_cli.convert.conversion import Options
from zigllm_cli.convert.source import read_source
from zigllm_cli.errors import InputError, UnsupportedError, UsageError, ZigllmError

LLAMA = {
    "name": "tiny-Llama",
    "hf_config": {"name": "tiny", "org": "nobody"},
    "block_size": 64,
    "n_layer": 2,
    "n_embd": 48,
    "vocab_size": 290,
    "padded_vocab_size": 320,
    "norm_class_name": "RMSNorm",
    "norm_eps": 1e-5,
    "parallel_residual": False,
    "n_head": 6,
    "n_query_groups": 2,
    "rotary_percentage": 1.0,
    "rope_base": 10000,
    "bias": False,
    "mlp_class_name": "LLaMAMLP",
    "intermediate_size": 80,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "llama condensed": LLAMA | {"rope_condense_ratio": 4, "head_size": 12},
    "mixtral": LLAMA | {"mlp_class_name": "LLaMAMoE", "n_expert": 4, "n_expert_per_token": 2},
    "qwen2": LLAMA | {"attn_bias": True},
    "qwen3": LLAMA | {"norm_qk": True, "head_size": 16},
    "gemma": LLAMA | {"name": "Gemma-x", "mlp_class_name": "GemmaMLP", "scale_embeddings": True,
                      "gelu_approximate": "tanh"},
    "pythia": {
        **{"name": "pythia-x", "block_size": 64, "n_layer": 2, "n_embd": 48, "n_head": 3},
        **{"vocab_size": 290, "padded_vocab_size": 320, "rotary_percentage": 0.25},
    },
}  # fmt: skip
IDS = [1, 7, 200, 33, 4, 250, 91, 17, 64, 2]


def make_model(config: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Tensors under litgpt's names, and the forward pass of its model.py."""
    import torch
    from torch.nn import functional as f

    c = {"norm_class_name": "LayerNorm", "bias": True, "parallel_residual": True} | config
    width, heads = c["n_embd"], c["n_head"]
    groups, size = c.get("n_query_groups", heads), c.get("head_size", width // heads)
    ff, mlp = c.get("intermediate_size", 4 * width), c.get("mlp_class_name", "GptNeoxMLP")
    generator = torch.Generator().manual_seed(11)
    rms, gemma = c["norm_class_name"] == "RMSNorm", "Gemma" in c["name"]
    w: dict[str, Any] = {}

    def linear(name: str, rows: int, columns: int, bias: bool = c["bias"]) -> None:
        w[f"{name}.weight"] = torch.randn(rows, columns, generator=generator) / columns**0.5
        if bias:
            w[f"{name}.bias"] = torch.randn(rows, generator=generator) * 0.2

    def norm_weights(name: str, count: int = width) -> None:
        w[f"{name}.weight"] = torch.rand(count, generator=generator) + (0 if gemma else 0.5)
        if not rms:
            w[f"{name}.bias"] = torch.randn(count, generator=generator) * 0.2

    linear("transformer.wte", c["padded_vocab_size"], width, False)
    for layer in range(c["n_layer"]):
        start = f"transformer.h.{layer}."
        linear(
            start + "attn.qkv",
            (heads + 2 * groups) * size,
            width,
            c["bias"] or c.get("attn_bias", False),
        )
        linear(start + "attn.proj", width, heads * size)
        norm_weights(start + "norm_1")
        norm_weights(start + "norm_2")
        if c.get("norm_qk"):
            norm_weights(start + "attn.norm_q", size)
            norm_weights(start + "attn.norm_k", size)
        experts = [f"experts.{i}." for i in range(c.get("n_expert", 0))] or [""]
        if len(experts) > 1:
            linear(start + "mlp.gate", len(experts), width)
        for expert in experts:
            for name in ("fc",) if mlp == "GptNeoxMLP" else ("fc_1", "fc_2"):
                linear(f"{start}mlp.{expert}{name}", ff, width)
            linear(f"{start}mlp.{expert}proj", width, ff)
    norm_weights("transformer.ln_f")
    if gemma:
        w["lm_head.weight"] = w["transformer.wte.weight"]
    else:
        linear("lm_head", c["padded_vocab_size"], width, False)

    def apply(name: str, x: Any) -> Any:
        return f.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(name: str, x: Any) -> Any:
        if rms:
            weight = w[f"{name}.weight"] + (1 if gemma else 0)
            return (
                x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + c.get("norm_eps", 1e-5)) * weight
            )
        return f.layer_norm(x, (x.shape[-1],), w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def rotated(x: Any) -> Any:
        count = int(c["rotary_percentage"] * size)
        speeds = 1.0 / (10000 ** (torch.arange(0, count, 2).float() / count))
        places = torch.arange(x.shape[1]) / c.get("rope_condense_ratio", 1)
        angles = torch.outer(places, speeds).repeat(1, 2)
        head, rest = x[..., :count], x[..., count:]
        turned = torch.cat((-head[..., count // 2 :], head[..., : count // 2]), dim=-1)
        return torch.cat((head * angles.cos() + turned * angles.sin(), rest), dim=-1)

    def attention(start: str, x: Any) -> Any:
        time = x.shape[0]
        q, k, v = apply(start + "qkv", x).split(
            (heads * size, groups * size, groups * size), dim=-1
        )
        q, k, v = (part.view(time, -1, size).transpose(0, 1) for part in (q, k, v))
        if c.get("norm_qk"):
            q, k = norm(start + "norm_q", q), norm(start + "norm_k", k)
        q, k = rotated(q), rotated(k)
        k, v = (part.repeat_interleave(heads // groups, dim=0) for part in (k, v))
        y = f.scaled_dot_product_attention(q, k, v, is_causal=True)
        return apply(start + "proj", y.transpose(0, 1).reshape(time, -1))

    def feed_forward(start: str, x: Any) -> Any:
        if mlp == "GptNeoxMLP":
            return apply(start + "proj", f.gelu(apply(start + "fc", x)))
        gate = apply(start + "fc_1", x)
        gate = f.gelu(gate, approximate="tanh") if mlp == "GemmaMLP" else f.silu(gate)
        return apply(start + "proj", gate * apply(start + "fc_2", x))

    def mixture(start: str, x: Any) -> Any:
        if "n_expert" not in c:
            return feed_forward(start, x)
        scores, chosen = torch.topk(apply(start + "gate", x), c["n_expert_per_token"])
        scores, y = scores.softmax(dim=-1), torch.zeros_like(x)
        for token in range(len(x)):
            for score, expert in zip(scores[token], chosen[token].tolist(), strict=True):
                y[token] += score * feed_forward(f"{start}experts.{expert}.", x[token])
        return y

    def forward(ids: list[int]) -> Any:
        x = w["transformer.wte.weight"][ids] * (width**0.5 if c.get("scale_embeddings") else 1)
        for layer in range(c["n_layer"]):
            start = f"transformer.h.{layer}."
            a = attention(start + "attn.", norm(start + "norm_1", x))
            if c["parallel_residual"]:
                x = x + a + mixture(start + "mlp.", norm(start + "norm_2", x))
            else:
                x = x + a
                x = x + mixture(start + "mlp.", norm(start + "norm_2", x))
        return f.linear(norm("transformer.ln_f", x), w["lm_head.weight"]).numpy()

    return w, forward


def as_before(w: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The layout of older litgpt: queries, key and value of each group together."""
    import torch

    heads = config["n_head"]
    groups = config.get("n_query_groups", heads)
    size, per = config.get("head_size", config["n_embd"] // heads), heads // groups
    found = {}
    for name, value in w.items():
        if ".attn.qkv." in name:
            q, k, v = value.split((heads * size, groups * size, groups * size))
            parts = zip(q.split(per * size), k.split(size), v.split(size), strict=True)
            value = torch.cat([piece for group in parts for piece in group])
        found[name.replace(".attn.qkv.", ".attn.attn.")] = value
    return found


def save(
    folder: Path, state: dict[str, Any], config: dict[str, Any], name: str = "lit_model.pth"
) -> Path:
    import torch
    import yaml

    folder.mkdir(exist_ok=True)
    torch.save(state, folder / name)
    (folder / "model_config.yaml").write_text(yaml.dump(config))
    return folder


@pytest.mark.oracle
@pytest.mark.parametrize("layout", ["now", "before"])
@pytest.mark.parametrize("name", CONFIGS)
def test_logits_are_torchs(
    name: str, layout: str, tmp_path: Path, converted: Any, engine_logits: Any
) -> None:
    config = CONFIGS[name]
    tensors, forward = make_model(config)
    state = tensors if layout == "now" else {"model": as_before(tensors, config), "step": 3}
    path = converted(save(tmp_path / "model", state, config))
    assert distance(engine_logits(path, IDS), forward(IDS)) < 2e-5


@pytest.mark.oracle
def test_padded_vocabularies(kit: Path, tmp_path: Path, converted: Any) -> None:
    """The tokenizer beside the model; the rows that it has no tokens for are unused ones."""
    original = kit / "models" / "llama-gqa-spm"
    count = len(load(original / "model-f32.gguf").tokenizer.vocabulary)
    config = LLAMA | {"vocab_size": count, "padded_vocab_size": count + 9}
    folder = save(tmp_path / "model", make_model(config)[0], config)
    for path in (original / "hf").glob("*token*"):
        shutil.copy(path, folder)
    tokenizer = load(converted(folder)).tokenizer
    text = "Hello world, it's 2026"
    assert tokenizer.encode(text) == load(original / "model-f32.gguf").tokenizer.encode(text)
    assert len(tokenizer.vocabulary) == count + 9
    assert tokenizer.vocabulary.tokens[-1] == f"[PAD{count + 8}]"


@pytest.mark.oracle
@pytest.mark.parametrize("parts", ["query value", "key", "query key value projection mlp head"])
@pytest.mark.parametrize("name", ["llama", "pythia"])
def test_lora_is_merged(
    parts: str, name: str, tmp_path: Path, converted: Any, engine_logits: Any
) -> None:
    import torch
    import yaml

    config, rank, alpha = CONFIGS[name], 4, 10
    w, forward = make_model(config)
    halves = {name: value.bfloat16() for name, value in w.items()}
    base = save(tmp_path / "base", halves, config)
    w.update({name: value.float() for name, value in halves.items()})
    heads = config["n_head"]
    groups, size = config.get("n_query_groups", heads), config["n_embd"] // heads
    generator = torch.Generator().manual_seed(2)
    lora: dict[str, Any] = {}
    chosen = [part in parts.split() for part in ("query", "key", "value")]
    rows = (heads * size, groups * size, groups * size)
    for weight in list(w):
        module = weight.removesuffix(".weight")
        value = w[weight]
        if weight.endswith("attn.qkv.weight"):
            count, out = sum(chosen), sum(r for r, c in zip(rows, chosen, strict=True) if c)
            a = torch.randn(rank * count, value.shape[1], generator=generator) * 0.1
            b = torch.randn(out, rank, generator=generator) * 0.2
            new, row, used = [], 0, 0
            for part, size_of, is_in in zip(value.split(rows), rows, chosen, strict=True):
                if is_in:
                    change = b[row : row + size_of] @ a[used * rank : (used + 1) * rank]
                    part, row, used = part + alpha / rank * change, row + size_of, used + 1
                new.append(part)
            w[weight] = torch.cat(new)
        elif (
            (weight.endswith("attn.proj.weight") and "projection" in parts)
            or (".mlp." in weight and weight.endswith("weight") and "mlp" in parts)
            or (weight == "lm_head.weight" and "head" in parts)
        ):
            a = torch.randn(rank, value.shape[1], generator=generator) * 0.1
            b = torch.randn(value.shape[0], rank, generator=generator) * 0.2
            w[weight] = value + alpha / rank * b @ a
        else:
            continue
        lora |= {f"{module}.lora_A": a, f"{module}.lora_B": b}
        changed = module
    folder = save(tmp_path / "lora", {"model": lora}, config, "lit_model.pth.lora")
    settings = {"lora_r": rank, "lora_alpha": alpha, "checkpoint_dir": "checkpoints/gone"}
    settings |= {f"lora_{part}": part in parts.split() for part in ("query", "key", "value")}
    (folder / "hyperparameters.yaml").write_text(yaml.dump(settings))
    with pytest.raises(UsageError, match="--base"):
        read_source(folder)
    path = converted(folder, base=base)
    assert distance(engine_logits(path, IDS), forward(IDS)) < 2e-5
    extra = {
        f"transformer.h.9.mlp.proj.lora_{half}": lora[f"{changed}.lora_{half}"] for half in "AB"
    }
    save(folder, lora | extra, config, "lit_model.pth.lora")
    with pytest.raises(InputError, match=r"changes transformer\.h\.9\.mlp\.proj"):
        read_source(folder, Options(base=base))
    save(folder, lora, config, "lit_model.pth.lora")
    (folder / "hyperparameters.yaml").write_text(yaml.dump({"lora_r": 4, "lora_alpha": 10}))
    with pytest.raises(InputError, match="neither queries, keys nor values"):
        read_source(folder, Options(base=base))


@pytest.mark.oracle
def test_what_is_wrong_is_a_sentence(tmp_path: Path) -> None:
    w, _ = make_model(LLAMA)
    configs: list[tuple[dict[str, Any], str]] = [
        ({"mlp_class_name": "Other"}, "convert_from_litgpt"),
        ({"norm_class_name": "LayerNorm"}, "convert_from_litgpt"),
        ({"rotary_percentage": 0.5}, "rotary_percentage"),
        ({"rope_adjustments": {"beta_fast": 3}}, "rope_adjustments"),
        ({"n_head": 0}, "impossible"),
        ({"n_query_groups": 4}, "cannot share"),
        ({"n_embd": "many"}, "not a whole number"),
        ({"n_head": 12, "head_size": 8}, "split"),
    ]
    for change, message in configs:
        folder = save(tmp_path / "model", w, LLAMA | change)
        with pytest.raises(ZigllmError, match=message):
            read_source(folder)
    folder = save(tmp_path / "model", w | {"extra.weight": w["lm_head.weight"]}, LLAMA)
    with pytest.raises(UnsupportedError, match=r"extra\.weight"):
        read_source(folder)
    for text in ("a: [", "- 1", "x", "!!python/object/apply:os.system ['true']"):
        (folder / "model_config.yaml").write_text(text)
        with pytest.raises(InputError, match=r"model_config\.yaml is damaged"):
            read_source(folder, Options())
