"""The operations of a forward pass, one file each.

A module here has `build(*variant)`, which returns a Numba function `(args, thread, threads)`:
`args` is the address of a block of 64-bit words whose meaning stands in the module's docstring,
and every thread does its share of the rows, tokens or heads. Nothing here allocates or raises.
`zigllm_cli.jit` compiles and keeps them; `zigllm_cli.plan` lays out the arguments.
"""
