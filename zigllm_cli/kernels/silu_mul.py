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
from zigllm_cli.simd.arithmetic import fill, maximum, minimum, zero_f32x16
from zigllm_cli.simd.math import gelu, gelu_erf, relu, sigmoid, silu, softplus
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
    "sigmoid": sigmoid,
    "softplus": softplus,
}


@part
def swiglu_clamped(gate, up):
    """gate * sigmoid(1.702 gate) * (up + 1), gate at most 7, up from -7 to 7 (gpt-oss)."""
    gate, up = minimum(gate, bound()), maximum(minimum(up, bound()), zero_f32x16() - bound())
    return gelu_quick(gate) * (up + one())


bound, one = fill(f32x16, 7.0), fill(f32x16, 1.0)

OF_BOTH = {"swiglu_clamped": swiglu_clamped}
"""Functions of gate and up that are no products."""


def function_of(activation, gated):
    """A function of gate and up: f(gate) * up, as a rule, or f(gate) alone."""
    if activation in OF_BOTH:
        return OF_BOTH[activation]
    apply = ACTIVATIONS[activation]

    @part
    def product(gate, up):
        return apply(gate) * up

    @part
    def alone(gate, up):
        return apply(gate)

    return product if gated else alone


def build(activation, gated):
    """The kernel of one activation, multiplied with `up` or (`gated` 0) alone."""
    apply = function_of(activation, gated)

    @njit(error_model="numpy")
    def activate(args, thread, threads):
        width, stride = load_i64(args + 24), load_i64(args + 32)
        tokens = load_i64(load_i64(args + 40) + 8 * TOKENS)
        first, last = share(width, 16, thread, threads)
        for token in range(tokens):
            gate, out = load_i64(args) + token * stride, load_i64(args + 16) + token * stride
            up = load_i64(args + 8) + token * stride if gated else gate
            for i in range(first, last, 16):
                left = width - i
                v = apply(load_part(gate + 4 * i, left), load_part(up + 4 * i, left))
                store_part(out + 4 * i, v, left)

    return activate
