"""Time and memory of `zigllm convert` beside llama.cpp's converter, on a model of random weights.

    python scripts/compare_converters.py LLAMA_CPP_SOURCE [--type q8_0] [--rounds 3] [--folder DIR]

The model is a folder of F16 safetensors in TinyLlama's shape (1.1 B), made in DIR if it
is not there. Both programs run as processes of their own, in turn; the least time of each counts.
What they write is compared tensor by tensor. llama.cpp's converter needs torch, transformers and
sentencepiece.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float16",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="llama.cpp's source tree")
    parser.add_argument("--type", default="q8_0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hf-1b")
    chosen = parser.parse_args()
    if not (chosen.folder / "model.safetensors").exists():
        make(chosen.folder)
    with tempfile.TemporaryDirectory(dir=chosen.folder.parent) as folder:
        mine, theirs = Path(folder) / "mine.gguf", Path(folder) / "theirs.gguf"
        ours = [sys.executable, "-m", "zigllm_cli", "convert", chosen.folder]
        ours += ["--type", chosen.type, "-o", mine]
        other = [sys.executable, chosen.source / "convert_hf_to_gguf.py", chosen.folder]
        other += ["--outtype", chosen.type, "--outfile", theirs]
        runs = [(measure(ours), measure(other)) for _ in range(chosen.rounds)]
        for name, results in zip(("zigllm", "llama.cpp"), zip(*runs, strict=True), strict=True):
            seconds, peak = min(results)[0], max(peak for _, peak in results)
            print(f"{name:10} {seconds:6.1f} s  {peak / 1e6:7.0f} MB at most")
        least = [min(seconds for seconds, _ in results) for results in zip(*runs, strict=True)]
        print(f"{least[0] / least[1]:.2f} of the time; {compare(mine, theirs)}")


def measure(command: list[object]) -> tuple[float, int]:
    """Seconds, and the largest number of bytes in memory."""
    started = perf_counter()
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    return perf_counter() - started, usage.ru_maxrss * 1024


def compare(mine: Path, theirs: Path) -> str:
    """Whether both wrote the same tensors."""
    from zigllm_cli.gguf import open_gguf

    one, other = open_gguf(mine).tensors, open_gguf(theirs).tensors
    same = sum(name in other and one[name].data == other[name].data for name in one)
    return f"{same} of {len(other)} tensors are the same bytes"


def make(folder: Path) -> None:
    """A model of random weights, and a tokenizer of bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.model").write_bytes(byte_model())
    width, ff, vocab = (int(CONFIG[k]) for k in ("hidden_size", "intermediate_size", "vocab_size"))  # type: ignore[call-overload]
    kv = int(CONFIG["num_key_value_heads"]) * int(CONFIG["head_dim"])  # type: ignore[call-overload]
    shapes: dict[str, tuple[int, ...]] = {
        "lm_head": (vocab, width),
        "model.embed_tokens": (vocab, width),
        "model.norm": (width,),
    }
    for layer in range(int(CONFIG["num_hidden_layers"])):  # type: ignore[call-overload]
        for name, shape in {
            "input_layernorm": (width,),
            "mlp.down_proj": (width, ff),
            "mlp.gate_proj": (ff, width),
            "mlp.up_proj": (ff, width),
            "post_attention_layernorm": (width,),
            "self_attn.k_proj": (kv, width),
            "self_attn.o_proj": (width, width),
            "self_attn.q_proj": (width, width),
            "self_attn.v_proj": (kv, width),
        }.items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    table, place = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        entry = {"dtype": "F16", "shape": shape, "data_offsets": [place, place + size]}
        table[f"{name}.weight"] = entry
        place += size
    head = json.dumps(table).encode()
    rng = np.random.default_rng(1)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for shape in shapes.values():
            noise = rng.standard_normal(shape, np.float32) * np.float32(0.02)
            file.write(noise.astype(np.float16).tobytes())


def byte_model() -> bytes:
    """A SentencePiece model of three control pieces, 256 bytes and the printable characters."""
    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3)]
    pieces += [(f"<0x{byte:02X}>", 6) for byte in range(256)]
    pieces += [(chr(code), 1) for code in [0x2581, *range(33, 127)]]
    out = b""
    for number, (text, kind) in enumerate(pieces):
        word = text.encode()
        body = b"\x0a" + bytes([len(word)]) + word + b"\x15" + struct.pack("<f", -float(number))
        body += b"\x18" + bytes([kind])
        out += b"\x0a" + bytes([len(body)]) + body
    trainer = b"\x18\x02" + b"\x98\x02\x01"  # model_type: BPE, byte_fallback
    return out + b"\x12" + bytes([len(trainer)]) + trainer


if __name__ == "__main__":
    main()
