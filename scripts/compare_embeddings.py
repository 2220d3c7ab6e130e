"""Texts per second of an encoder, here and in llama.cpp, in turn.

    python scripts/compare_embeddings.py MODEL.gguf [TEXTS.txt] [-t 2] [--batch 32] [--rounds 5]

Texts are repeated to fill batches; both engines get token ids and give pooled vectors. Needs
llama-cpp-python.
"""

from __future__ import annotations

import argparse
import ctypes
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

import llama_cpp
import numpy as np

from zigllm_cli.engine.pooling import normalized
from zigllm_cli.model import load

SENTENCES = (
    "The cat sat on the mat and looked out of the window.",
    "Interest rates rose by a quarter of a percent in March.",
    "A good encoder puts sentences of one meaning near each other.",
    "How do I change the tyre of a bicycle?",
    "Rain.",
    "The committee, after long debate, put off its decision until the following spring.",
)


class LlamaCpp:
    """llama.cpp with room for a batch of texts in one step."""

    def __init__(self, path: Path, threads: int, tokens: int, texts: int) -> None:
        self._silent = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = tokens
        settings.n_seq_max, settings.embeddings, settings.kv_unified = texts, True, True
        settings.n_threads = settings.n_threads_batch = threads
        self._run = llama_cpp.llama_init_from_model(self._model, settings)
        self._batch = llama_cpp.llama_batch_init(tokens, 0, 1)
        self.width = llama_cpp.llama_model_n_embd(self._model)

    def embed(self, texts: list[list[int]]) -> np.ndarray:
        """One vector for each of a batch of texts."""
        batch, n = self._batch, 0
        for slot, text in enumerate(texts):
            for position, token in enumerate(text):
                batch.token[n], batch.pos[n], batch.logits[n] = token, position, 1
                batch.n_seq_id[n], batch.seq_id[n][0] = 1, slot
                n += 1
        batch.n_tokens = n
        assert llama_cpp.llama_encode(self._run, batch) == 0
        row = llama_cpp.llama_get_embeddings_seq
        rows = (row(self._run, slot) for slot in range(len(texts)))
        return np.array([np.ctypeslib.as_array(row, (self.width,)).copy() for row in rows])


def main() -> None:
    """Print both, and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path, nargs="?")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lines = options.texts.read_text().splitlines() if options.texts else SENTENCES
    model = load(options.model, threads=options.threads)
    ids = [model.embeddings.text_ids(line) for line in islice(cycle(lines), options.batch)]
    tokens = sum(map(len, ids))
    theirs = LlamaCpp(options.model, options.threads, -(-tokens // 256) * 256, options.batch)
    best = {"zigllm": 0.0, "llama.cpp": 0.0}
    for _ in range(options.rounds):
        for name, run in (("zigllm", model.embeddings.vectors), ("llama.cpp", theirs.embed)):
            run(ids)
            start, count = perf_counter(), 0
            while perf_counter() - start < 1:
                vectors = run(ids)
                count += len(ids)
            best[name] = max(best[name], count / (perf_counter() - start))
    mine = np.stack(model.embeddings.vectors(ids))
    cosine = (normalized(mine) * normalized(theirs.embed(ids))).sum(axis=-1).min()
    print(f"{options.batch} texts, {tokens} tokens, {options.threads} threads")
    for name, rate in best.items():
        print(f"{name:10} {rate:8.0f} texts/s")
    print(f"times      {best['zigllm'] / best['llama.cpp']:8.2f}")
    print(f"cosine     {cosine:8.6f} at least")
    assert len(vectors) == len(ids)


if __name__ == "__main__":
    main()
