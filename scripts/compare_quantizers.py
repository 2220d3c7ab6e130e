"""Quantise a model with zigllm and with llama-cpp-python's quantizer, in turn, and compare.

    python scripts/compare_quantizers.py MODEL-F16.gguf [TYPE...] [-t THREADS] [--rounds N]

Each runs in a process of its own and writes to the same folder; its output is deleted again. The
time is that of the call, without starting Python and compiling kernels. Types that need an
importance matrix get one of all ones. The bytes are compared, too. Needs llama-cpp-python.
"""

from __future__ import annotations

import argparse
import ctypes
import filecmp
import multiprocessing
import tempfile
from pathlib import Path
from time import perf_counter

TYPES = ("Q4_0", "Q8_0", "Q4_K_M", "Q6_K", "IQ4_XS", "IQ3_S", "IQ2_XS")
NEEDS_IMATRIX = ("IQ1", "IQ2", "IQ3_XXS")


def theirs(source: Path, target: Path, name: str, threads: int) -> float:
    """llama.cpp's seconds."""
    import llama_cpp
    import numpy as np

    from zigllm_cli.gguf import open_gguf

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
    parameters.nthread = threads
    if name.startswith(NEEDS_IMATRIX):
        tensors = [t for t in open_gguf(source).tensors.values() if len(t.shape) == 2]
        ones = np.ones(max(t.row_length for t in tensors), np.float32)
        data = ones.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entries = [(t.name.encode(), data, t.row_length) for t in tensors]
        parameters.imatrix = (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))(*entries)
    started = perf_counter()
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(parameters)
    )
    assert code == 0
    return perf_counter() - started


def ours(source: Path, target: Path, name: str, threads: int) -> float:
    """Our seconds."""
    import numpy as np

    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.quantization.decisions import Wishes, decide
    from zigllm_cli.quantization.file_types import file_type
    from zigllm_cli.quantization.importance import Importance, Sums
    from zigllm_cli.quantization.write import write_quantized

    file = open_gguf(source)
    importance = None
    if name.startswith(NEEDS_IMATRIX):
        tensors = [t for t in file.tensors.values() if len(t.shape) == 2]
        ones = {t.name: Sums(np.ones(t.row_length, np.float32), np.array([1])) for t in tensors}
        importance = Importance(ones)
    kind = file_type(name)
    decisions = decide(file, kind, Wishes(), has_importance=importance is not None)
    compiled: list[float] = []
    write = [perf_counter()]

    def told(done: int, count: int) -> None:
        if done == count:
            compiled.append(perf_counter() - write[0])

    write_quantized(file, target, decisions, importance, threads=threads, compiling=told)
    return perf_counter() - write[0] - sum(compiled)


def timed(function: object, *arguments: object) -> float:
    """The function's answer from a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(pool.apply(function, arguments))  # type: ignore[arg-type]


def main() -> None:
    """Print a line for each type."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("types", nargs="*", default=TYPES)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    print(
        "| type | zigllm, s | llama.cpp, s | ours / theirs | tensor bytes |\n|---|---|---|---|---|"
    )
    for name in options.types:
        with tempfile.TemporaryDirectory(dir=options.source.parent) as folder:
            a, b = Path(folder, "ours.gguf"), Path(folder, "theirs.gguf")
            mine, other = [], []
            for _ in range(options.rounds):
                mine.append(timed(ours, options.source, a, name, options.threads))
                other.append(timed(theirs, options.source, b, name, options.threads))
            same = "equal" if filecmp.cmp(a, b, shallow=False) else same_tensors(a, b)
        x, y = min(mine), min(other)
        print(f"| {name} | {x:.1f} | {y:.1f} | {x / y:.2f} | {same} |", flush=True)


def same_tensors(a: Path, b: Path) -> str:
    """Whether all tensors are equal, where the metadata are not."""
    from zigllm_cli.gguf import open_gguf

    first, second = open_gguf(a).tensors, open_gguf(b).tensors
    equal = list(first) == list(second) and all(first[n].data == second[n].data for n in first)
    return "equal" if equal else "DIFFERENT"


if __name__ == "__main__":
    main()
