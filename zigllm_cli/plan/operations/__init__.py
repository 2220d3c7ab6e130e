"""The operations of a forward pass. Each is a description; nothing here computes.

A `Value` is one row of floats per token of the batch. Operations read values and write one;
`plan.Plan` makes them, `lowering` and `interpreter` give them meaning, in modules of the same
names as here.
"""

from zigllm_cli.plan.operations.activations import Activation
from zigllm_cli.plan.operations.attention import Attention, StoreCache
from zigllm_cli.plan.operations.base import Operation, Value, Vector, Weight, tensor_and_rows
from zigllm_cli.plan.operations.elementwise import Add, AddRow, Clamp, Scale, SoftCap
from zigllm_cli.plan.operations.embedding import Embed
from zigllm_cli.plan.operations.experts import (
    ExpertProduct,
    Route,
    Routing,
    Stack,
    WeightedSum,
)
from zigllm_cli.plan.operations.heads import HeadProduct, Join, Slice
from zigllm_cli.plan.operations.norms import LayerNorm, RmsNorm
from zigllm_cli.plan.operations.observation import ExpertSumSquares, SumSquares
from zigllm_cli.plan.operations.products import Product
from zigllm_cli.plan.operations.recurrent import SelectiveScan, ShortConvolution
from zigllm_cli.plan.operations.rotary import Rope, Rotation
from zigllm_cli.plan.operations.selection import Select

__all__ = [
    "Activation",
    "Add",
    "AddRow",
    "Attention",
    "Clamp",
    "Embed",
    "ExpertProduct",
    "ExpertSumSquares",
    "HeadProduct",
    "Join",
    "LayerNorm",
    "Operation",
    "Product",
    "RmsNorm",
    "Rope",
    "Rotation",
    "Route",
    "Routing",
    "Scale",
    "Select",
    "SelectiveScan",
    "ShortConvolution",
    "Slice",
    "SoftCap",
    "Stack",
    "StoreCache",
    "SumSquares",
    "Value",
    "Vector",
    "Weight",
    "WeightedSum",
    "tensor_and_rows",
]
