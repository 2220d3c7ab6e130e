"""The activation of a feed-forward block: f(gate) * up, or f(gate) alone.

args  0 gate (f32 [n, width])       1 up, of the same shape (unused where not gated)
      2 out (may be gate or up)     3 width
      4 bytes from token to token, of all three
      5 state
"""

from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill
from zigllm_cli.simd.math import gelu, gelu_erf, relu, sigmoid, silu
from zigllm_cli.simd.memory import load_i64
from zigllm_cli.simd.vector import f32x16

quick_factor = fill(f32x16, 1.702)


@part
def gelu_quick(x):
    """x * sigmoid(1.702 x)."""
    return x * sigmoid(x * quick_factor())


@part
def relu_squared(x):
    """relu(x)^2."""
    y = relu(x)
    return y * y


ACTIVATIONS = {
    "silu": silu,
    "gelu": gelu,
    "gelu_erf": gelu_erf,
    "gelu_quick": gelu_quick,
    "relu": relu,
    "relu_squared": relu_squared,
}


def build(activation, gated):
    """The kernel of one activation, multiplied with `up` or (`gated` 0) alone."""
    apply = ACTIVATIONS[activation]

    @njit(error_model="numpy")
    def activate(args, thread, threads):
        width, stride = load_i64(args + 24), load_i64(args + 32)
        tokens = load_i64(load_i64(args + 40) + 8 * TOKENS)
        first, last = share(width, 16, thread, threads)
        for token in range(tokens):
            gate, up = load_i64(args) + token * stride, load_i64(args + 8) + token * stride
            out = load_i64(args + 16) + token * stride
            for i in range(first, last, 16):
                v = apply(load_part(gate + 4 * i, width - i))
                if gated:
                    v = v * load_part(up + 4 * i, width - i)
                store_part(out + 4 * i, v, width - i)

    return activate
