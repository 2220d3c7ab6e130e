"""Make quantised files for speed comparisons with llama-cpp-python's quantizer.

    python scripts/quantize_with_llama.py F16.gguf TYPE... [-o FOLDER] [-t THREADS]

TYPE is llama.cpp's name: Q4_0, Q4_K_M, IQ2_XS, MXFP4_MOE, ... Types that need an importance matrix
get one of all ones: fit for measuring speed, not for use. Needs llama-cpp-python.
"""

from __future__ import annotations

import argparse
import ctypes
from pathlib import Path

import llama_cpp
import numpy as np

from zigllm_cli.gguf import open_gguf

NEEDS_IMATRIX = ("IQ1", "IQ2", "IQ3_XXS")


def ones(path: Path) -> ctypes.Array[llama_cpp.llama_model_imatrix_data]:
    """An importance matrix of ones for every matrix of the file, in llama.cpp's form."""
    matrices = [t for t in open_gguf(path).tensors.values() if len(t.shape) == 2]
    values = np.ones(max(t.row_length for t in matrices), np.float32)
    data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    entries = [(t.name.encode(), data, t.row_length) for t in matrices]
    array = (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))(*entries)
    array.keep = values
    return array


def quantize(source: Path, target: Path, name: str, threads: int) -> None:
    """Write `target` unless it stands there."""
    if target.exists():
        return
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
    params.nthread = threads
    params.pure = name.startswith("MXFP4")
    if name.startswith(NEEDS_IMATRIX):
        params.imatrix = ones(source)
    unfinished = target.with_suffix(".part")
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(unfinished).encode(), ctypes.byref(params)
    )
    if code:
        raise SystemExit(f"{name}: llama.cpp's quantizer failed with {code}")
    unfinished.rename(target)


def main() -> None:
    """Quantise to every type asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("types", nargs="+")
    parser.add_argument("-o", "--output", type=Path, help="folder; the source's by default")
    parser.add_argument("-t", "--threads", type=int, default=2)
    options = parser.parse_args()
    folder = options.output or options.source.parent
    stem = options.source.stem.removesuffix("-F16")
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    for name in options.types:
        quantize(options.source, folder / f"{stem}-{name}.gguf", name, options.threads)
        print(folder / f"{stem}-{name}.gguf", flush=True)


if __name__ == "__main__":
    main()
