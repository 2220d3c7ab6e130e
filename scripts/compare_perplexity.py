"""Measure `zigllm perplexity` and llama.cpp on the same chunks in turn, and print a Markdown table.

    pip install llama-cpp-python          # builds llama.cpp natively: a C++ compiler, some minutes
    python scripts/compare_perplexity.py MODEL.gguf... --text TEXT [-c 512] [--chunks 8] [-t 2]
                                         [--rounds 2]

-c tokens of a chunk, --chunks of them, -t threads, --rounds processes of each engine, in turn; the
best is printed. The first chunk warms up and is not counted: the weights come into memory, kernels
are loaded. llama.cpp decodes the same tokens in llama-perplexity's batches (four chunks of 512,
logits of the second halves); what it does with the logits afterwards is not counted, for zigllm
it is.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path

BATCH = 2048
"""llama-perplexity's tokens of a batch."""


def zigllm(model: Path, o: argparse.Namespace) -> float:
    """Tokens per second of `zigllm perplexity`: what more chunks take beyond the first."""

    def seconds(chunks: int) -> float:
        command = [sys.executable, "-m", "zigllm_cli", "perplexity", "-m", str(model), str(o.text)]
        command += ["-c", str(o.c), "--chunks", str(chunks), "-t", str(o.t), "--json"]
        return chunks * o.c / float(json.loads(output(command))["tokens_per_second"])

    return o.chunks * o.c / (seconds(1 + o.chunks) - seconds(1))


def llama(model: Path, o: argparse.Namespace) -> float:
    """Tokens per second of one process of llama.cpp."""
    command = [sys.executable, __file__, str(model), "--text", str(o.text), "--inside"]
    command += ["-c", str(o.c), "--chunks", str(o.chunks), "-t", str(o.t)]
    return float(output(command))


def output(command: list[str]) -> str:
    """What a command prints."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def inside(model: Path, o: argparse.Namespace) -> float:
    """Decode the chunks with llama.cpp in this process, through its C interface."""
    import llama_cpp as c

    silent = c.llama_log_callback(lambda *_: None)
    c.llama_log_set(silent, ctypes.c_void_p(0))
    c.llama_backend_init()
    weights = c.llama_model_load_from_file(str(model).encode(), c.llama_model_default_params())
    if not weights:
        raise SystemExit(f"llama.cpp does not load {model}")
    together = max(BATCH // o.c, 1)
    params = c.llama_context_default_params()
    params.n_ctx = o.c * together
    params.n_batch = BATCH
    params.n_seq_max = together
    params.kv_unified = True
    params.n_threads = params.n_threads_batch = o.t
    context = c.llama_init_from_model(weights, params)
    vocab = c.llama_model_get_vocab(weights)
    text = o.text.read_bytes()
    room = (c.llama_token * (len(text) + 8))()
    count = c.llama_tokenize(vocab, text, len(text), room, len(room), True, False)
    if count < o.c * o.chunks:
        raise SystemExit(f"{o.text} has {count} tokens, {o.chunks} chunks need {o.c * o.chunks}")
    batch = c.llama_batch_init(BATCH, 0, 1)

    def decode(first: int, chunks: int) -> None:
        batch.n_tokens = chunks * o.c
        for i in range(chunks * o.c):
            batch.token[i] = room[first * o.c + i]
            batch.pos[i] = i % o.c
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = i // o.c
            batch.logits[i] = i % o.c >= o.c // 2
        c.llama_memory_clear(c.llama_get_memory(context), True)
        if c.llama_decode(context, batch):
            raise SystemExit("llama_decode failed")
        c.llama_synchronize(context)

    decode(0, 1)  # warms up
    start = time.perf_counter()
    for first in range(0, o.chunks, together):
        decode(first, min(together, o.chunks - first))
    return o.chunks * o.c / (time.perf_counter() - start)


def main() -> None:
    """Measure every file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    for flag, value in (("-c", 512), ("--chunks", 8), ("-t", 2), ("--rounds", 2)):
        parser.add_argument(flag, type=int, default=value)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.inside:
        print(inside(o.models[0], o))
        return
    print("| file | zigllm, tokens/s | llama.cpp | ratio |")
    print("|---|---|---|---|")
    for model in o.models:
        ours = theirs = 0.0
        for _ in range(o.rounds):
            ours, theirs = max(ours, zigllm(model, o)), max(theirs, llama(model, o))
        print(f"| {model.stem} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
