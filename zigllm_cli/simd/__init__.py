"""Vectors as Numba values: the vocabulary that kernels are written in.

    from zigllm_cli.simd.memory import load_u8x64
    from zigllm_cli.simd.dot import dot4

Types and operators stand in `vector` and `operators`, operations in the module of their kind.
Importing any of them imports Numba; `isa` alone does not.
"""
