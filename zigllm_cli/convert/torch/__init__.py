"""Files of torch without torch: nothing in them runs.

pickles   a machine that builds plain values
names     what a torch pickle may name
tensors   views of storages
files     zip archives and the format before them
"""

from zigllm_cli.convert.torch.files import (
    is_torch_file,
    read_plain_pickle,
    read_torch,
    tensors_of,
)
from zigllm_cli.convert.torch.tensors import TorchTensor
from zigllm_cli.convert.torch.values import values_of

__all__ = [
    "TorchTensor",
    "is_torch_file",
    "read_plain_pickle",
    "read_torch",
    "tensors_of",
    "values_of",
]
