#!/usr/bin/env python3
"""Measure how long the command line takes to answer, and other readers beside it.

    python scripts/bench_startup.py FILE.gguf [-r 9]

FILE should hold a large vocabulary. Every row is a whole process, from start to exit, median and
best of -r runs taken in turn. The readers of the `gguf` package (a dependency) and of
llama-cpp-python (extra `compare`, left out where it is not installed) load the same header.
Install without -e: an editable install compiles its modules anew at every start where
PYTHONDONTWRITEBYTECODE is set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

GGUF_READER = "import sys, gguf; gguf.GGUFReader(sys.argv[1])"
LLAMA_CPP = """
import ctypes, sys, llama_cpp as api
silence = api.llama_log_callback(lambda *_: None)
api.llama_log_set(silence, ctypes.c_void_p(0))
parameters = api.llama_model_default_params()
parameters.vocab_only = True
assert api.llama_model_load_from_file(sys.argv[1].encode(), parameters)
"""


def commands(path: str) -> dict[str, list[str]]:
    zigllm = str(Path(sys.executable).with_name("zigllm"))
    rows = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "zigllm --version": [zigllm, "--version"],
        "zigllm --help": [zigllm, "--help"],
        "zigllm inspect FILE": [zigllm, "inspect", path],
        "zigllm inspect FILE --json": [zigllm, "inspect", path, "--json"],
        "zigllm tokenize -m FILE hello": [zigllm, "tokenize", "-m", path, "hello"],
        "gguf.GGUFReader(FILE)": [sys.executable, "-c", GGUF_READER, path],
    }
    if find_spec("llama_cpp"):
        rows["llama.cpp, vocabulary only"] = [sys.executable, "-c", LLAMA_CPP, path]
    return rows


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(command, capture_output=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.decode()}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("-r", "--repetitions", type=int, default=9)
    options = parser.parse_args()
    rows = commands(options.file)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(options.repetitions + 1):
        for name, command in rows.items():
            taken = seconds(command)
            if turn:  # the first one warms the page cache
                times[name].append(taken)
    print("| command | median s | best s |\n|---|---|---|")
    for name, column in times.items():
        print(f"| `{name}` | {statistics.median(column):.3f} | {min(column):.3f} |")


if __name__ == "__main__":
    main()
