#!/usr/bin/env python3
"""Measure the tokenizers beside llama.cpp's, on the same files and texts, in turn.

    python scripts/bench_tokenizers.py VOCAB.gguf... --text FILE [--text FILE] [-r 5] [--hostile]

Needs llama-cpp-python (extra `compare`). For every vocabulary: building the tokenizer (file in
the page cache, ready to encode), then each text cut to 1 MiB, best of -r runs, each with a new
tokenizer, so that no words are remembered from the run before. llama.cpp stands there twice:
through `Llama.tokenize`, which counts first and then tokenizes, and as one bare call of
`llama_tokenize` with room enough. --hostile adds the inputs that break naive tokenizers, at 1 MB
and 2 MB.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zigllm_cli

MIB = 1 << 20
WARM_UP = "Zxqj wkvz"  # no word of any vocabulary, so that the merges are read too
HOSTILE = {
    "one word": "a",
    "spaces": " ",
    "one emoji": "🦙",
    "zero bytes": "\x00",
    "line feeds": "\n",
    "digits": "7",
    "letters": "qwertzuiopasdfghjklyxcvbnm",
}


def best(run: Callable[[], Any], repetitions: int) -> float:
    times = []
    for _ in range(repetitions):
        gc.collect()
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def ours_encode(path: Path, text: str) -> float:
    tokenizer = zigllm_cli.load(path).tokenizer
    tokenizer.encode(WARM_UP)
    gc.collect()  # the tokenizer before is garbage by now; freeing it is not part of the work
    start = time.perf_counter()
    tokenizer.encode(text, add_special=False)
    return time.perf_counter() - start


class LlamaCpp:
    """llama.cpp's tokenizer of one file."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self.api = llama_cpp
        self.model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)

    def encode(self, raw: bytes) -> float:
        """Seconds of the library's own method."""
        start = time.perf_counter()
        self.model.tokenize(raw, add_bos=False, special=False)
        return time.perf_counter() - start

    def encode_bare(self, raw: bytes) -> float:
        """Seconds of one call of the C function."""
        vocab = self.api.llama_model_get_vocab(self.model.model)
        ids = (self.api.llama_token * (len(raw) + 8))()
        start = time.perf_counter()
        self.api.llama_tokenize(vocab, raw, len(raw), ids, len(ids), False, False)
        return time.perf_counter() - start


def compare(path: Path, texts: list[Path], repetitions: int) -> None:
    build = best(lambda: zigllm_cli.load(path).tokenizer.encode(WARM_UP), repetitions)
    theirs_build = best(lambda: LlamaCpp(path), 2)
    print(f"| {path.stem.removeprefix('ggml-vocab-')} | {build:.3f} | {theirs_build:.3f} |", end="")
    llama = LlamaCpp(path)
    for file in texts:
        raw = file.read_bytes()[:MIB].decode("utf-8", "ignore").encode()
        text = raw.decode()
        rows = [
            (ours_encode(path, text), llama.encode(raw), llama.encode_bare(raw))
            for _ in range(repetitions)
        ]
        ours, method, bare = (min(column) for column in zip(*rows, strict=True))
        print(f" {ours:.3f} | {method / ours:.2f} | {bare / ours:.2f} |", end="")
    print(flush=True)


def hostile(path: Path) -> None:
    for name, unit in HOSTILE.items():
        count = MIB // len(unit.encode())
        one = best(lambda: ours_encode(path, unit * count), 2)  # noqa: B023
        two = best(lambda: ours_encode(path, unit * count * 2), 2)  # noqa: B023
        print(f"| {path.stem} | {name} | {one:.2f} | {two:.2f} | {two / one:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("vocabularies", nargs="+", type=Path)
    parser.add_argument("--text", action="append", type=Path, default=[])
    parser.add_argument("-r", "--repetitions", type=int, default=5)
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    if options.text:
        columns = "".join(f" {t.stem} s | times | bare |" for t in options.text)
        print(f"| vocabulary | build s | llama.cpp s |{columns}")
        print("|---" * (3 + 3 * len(options.text)) + "|")
        for path in options.vocabularies:
            compare(path, options.text, options.repetitions)
    if options.hostile:
        print("| vocabulary | input | 1 MB s | 2 MB s | ratio |\n|---|---|---|---|---|")
        for path in options.vocabularies:
            hostile(path)


if __name__ == "__main__":
    main()
