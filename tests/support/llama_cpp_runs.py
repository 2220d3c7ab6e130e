"""llama.cpp's own logits, hidden states and quantised files, by llama-cpp-python's C interface."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

F32 = 0
"""GGML's number of the type."""

_silent = llama_cpp.llama_log_callback(lambda *_: None)


def _start() -> None:
    llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()


def _run(
    path: Path,
    tokens: Sequence[int],
    context: int,
    *,
    embeddings: bool,
    pooling: int = -1,
    adapters: Sequence[tuple[Path, float]] = (),
) -> NDArray[np.float32]:
    """Rows of logits or hidden states behind every token, with a float32 cache, one thread."""
    _start()
    model = llama_cpp.llama_model_load_from_file(
        str(path).encode(), llama_cpp.llama_model_default_params()
    )
    assert model, f"llama.cpp does not load {path}"
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = context
    settings.n_threads = settings.n_threads_batch = 1
    settings.type_k = settings.type_v = F32
    settings.flash_attn_type = 0
    settings.embeddings, settings.pooling_type = embeddings, pooling
    run = llama_cpp.llama_init_from_model(model, settings)
    assert run, f"llama.cpp cannot run {path}"
    _apply(adapters, model, run)
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    width = llama_cpp.llama_model_n_embd(model) if embeddings else vocabulary
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.logits[i] = token, i, 1
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
    assert llama_cpp.llama_decode(run, batch) == 0
    row = llama_cpp.llama_get_embeddings_ith if embeddings else llama_cpp.llama_get_logits_ith
    rows = [np.ctypeslib.as_array(row(run, i), (width,)).copy() for i in range(len(tokens))]
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(run)
    llama_cpp.llama_model_free(model)
    return np.array(rows, np.float32)


def _apply(adapters: Sequence[tuple[Path, float]], model: object, run: object) -> None:
    """Have a context run with low-rank adapters, so much of each."""
    loaded = [llama_cpp.llama_adapter_lora_init(model, str(path).encode()) for path, _ in adapters]
    assert all(loaded), "llama.cpp does not load an adapter"
    if loaded:
        array = (llama_cpp.llama_adapter_lora_p_ctypes * len(loaded))(*loaded)
        scales = (ctypes.c_float * len(loaded))(*(scale for _, scale in adapters))
        assert llama_cpp.llama_set_adapters_lora(run, array, len(loaded), scales) == 0


def logits(
    path: Path,
    tokens: Sequence[int],
    context: int = 256,
    adapters: Sequence[tuple[Path, float]] = (),
) -> NDArray[np.float32]:
    """Logits of all positions, [tokens, vocabulary]."""
    return _run(path, tokens, context, embeddings=False, adapters=adapters)


def hidden(path: Path, tokens: Sequence[int], context: int = 256) -> NDArray[np.float32]:
    """Hidden states of all tokens, [tokens, width]."""
    return _run(path, tokens, context, embeddings=True, pooling=0)


def quantize(source: Path, target: Path, name: str) -> None:
    """Write a quantised copy; `name` is llama.cpp's: Q8_0, Q4_K_M, ..."""
    _start()
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
    settings.nthread = 1
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(settings)
    )
    assert code == 0, f"llama.cpp does not quantise {source} to {name}"
