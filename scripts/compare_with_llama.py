"""Measure zigllm and llama.cpp in turn on the same files, and print a Markdown table.

    pip install llama-cpp-python          # builds llama.cpp natively: a C++ compiler, some minutes
    python scripts/compare_with_llama.py MODEL.gguf... [-p 512] [-n 64] [-d 0] [-t 2] [-r 3]
                                         [--rounds 2] [--json results.json]

-p tokens of prefill in one batch, -n single-token steps, -d tokens already in the context before
the steps, -t threads, -r repetitions of each in a process, --rounds processes of each engine, in
turn. The best of all is printed: the machine's noise only ever slows a run.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Speed:
    """Tokens per second: of prefill and of decoding."""

    prefill: float = 0.0
    decode: float = 0.0

    def best(self, other: Speed) -> Speed:
        """The better of each."""
        return Speed(max(self.prefill, other.prefill), max(self.decode, other.decode))


def zigllm(model: Path, o: argparse.Namespace) -> Speed:
    """One process of `zigllm bench`."""
    command = [sys.executable, "-m", "zigllm_cli", "bench", "-m", str(model), "--json"]
    options = {"-p": o.p, "-n": o.n, "-d": o.d, "-t": o.t, "-r": o.r}
    for flag, value in options.items():
        command += [flag, str(value)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    speed = Speed()
    for test in json.loads(done.stdout)["results"]:
        if test["prompt"]:
            speed.prefill = test["best"]
        else:
            speed.decode = test["best"]
    return speed


def llama(model: Path, o: argparse.Namespace) -> Speed:
    """One process of llama.cpp."""
    command = [sys.executable, __file__, str(model), "--inside"]
    for flag, value in (("-p", o.p), ("-n", o.n), ("-d", o.d), ("-t", o.t), ("-r", o.r)):
        command += [flag, str(value)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return Speed(*json.loads(done.stdout))


def inside(model: Path, o: argparse.Namespace) -> Speed:
    """Measure llama.cpp in this process, through its C interface."""
    import llama_cpp as c

    silent = c.llama_log_callback(lambda *_: None)
    c.llama_log_set(silent, ctypes.c_void_p(0))
    c.llama_backend_init()
    weights = c.llama_model_load_from_file(str(model).encode(), c.llama_model_default_params())
    if not weights:
        raise SystemExit(f"llama.cpp does not load {model}")
    params = c.llama_context_default_params()
    params.n_ctx = max(o.p, o.d + o.n) + 8
    params.n_batch = max(o.p, o.d, 512)
    params.n_threads = params.n_threads_batch = o.t
    context = c.llama_init_from_model(weights, params)
    vocabulary = c.llama_vocab_n_tokens(c.llama_model_get_vocab(weights))
    prompt = [(i * 7919) % vocabulary for i in range(max(o.p, o.d, 1))]

    def decode(tokens: list[int]) -> None:
        array = (c.llama_token * len(tokens))(*tokens)
        if c.llama_decode(context, c.llama_batch_get_one(array, len(tokens))):
            raise SystemExit("llama_decode failed")
        c.llama_synchronize(context)

    def steps() -> None:
        for i in range(o.n):
            decode([prompt[i % len(prompt)]])

    def fastest(run: Callable[[], None], count: int, before: list[int]) -> float:
        rates = []
        for _ in range(o.r + 1):  # the first warms up
            c.llama_memory_clear(c.llama_get_memory(context), True)
            if before:
                decode(before)
            start = time.perf_counter()
            run()
            rates.append(count / (time.perf_counter() - start))
        return max(rates[1:])

    return Speed(
        fastest(lambda: decode(prompt[: o.p]), o.p, []) if o.p else 0.0,
        fastest(steps, o.n, prompt[: o.d]) if o.n else 0.0,
    )


def row(name: str, ours: Speed, theirs: Speed) -> str:
    """A line of the table."""
    cells = [name]
    for mine, other in ((ours.decode, theirs.decode), (ours.prefill, theirs.prefill)):
        cells += [f"{mine:.1f}", f"{other:.1f}", f"{mine / other:.2f}" if other else ""]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure every file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    defaults = (("-p", 512), ("-n", 64), ("-d", 0), ("-t", 2), ("-r", 3), ("--rounds", 2))
    for flag, value in defaults:
        parser.add_argument(flag, type=int, default=value)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.inside:
        speed = inside(o.models[0], o)
        print(json.dumps([speed.prefill, speed.decode]))
        return
    print(f"| file | tg{o.n}, zigllm | llama.cpp | ratio | pp{o.p}, zigllm | llama.cpp | ratio |")
    print("|---|---|---|---|---|---|---|")
    results = {}
    for model in o.models:
        ours, theirs = Speed(), Speed()
        for _ in range(o.rounds):
            ours, theirs = ours.best(zigllm(model, o)), theirs.best(llama(model, o))
        print(row(model.stem, ours, theirs), flush=True)
        results[model.stem] = {"zigllm": vars(ours), "llama.cpp": vars(theirs)}
    if o.json:
        o.json.write_text(json.dumps(results, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
