"""The names that a torch pickle may use, and what is made of them.

Three functions rebuild tensors; storages and types are named, not made; and there are dictionaries
and sets. Source: `torch/_utils.py` and `torch/serialization.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zigllm_cli.convert.torch.pickles import KEYS, Maker, Name
from zigllm_cli.convert.torch.tensors import DTYPES, STORAGES, UNTYPED, TorchTensor, view
from zigllm_cli.errors import InputError


def _not_called(*_: Any) -> Any:
    raise InputError("it calls what is only a type: it was not run")


def _dictionary(items: Any = ()) -> dict[Any, Any]:
    """An OrderedDict."""
    if not all(isinstance(key, KEYS) for key, _ in items):
        raise InputError("a container is the key of a dictionary in it")
    return dict(items)


def _set(items: Any = ()) -> set[Any]:
    if not all(isinstance(item, KEYS) for item in items):
        raise InputError("a container is an item of a set in it")
    return set(items)


def _size(items: Any = ()) -> tuple[Any, ...]:
    """A torch.Size."""
    return tuple(items)


def _tensor_v2(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> TorchTensor:
    return view(storage, None, offset, shape, strides)


def _tensor_v3(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    _grad: Any,
    _hooks: Any,
    dtype: Any,
    *_: Any,
) -> TorchTensor:
    """Types that have no class of storage: the 8-bit floats."""
    return view(storage, dtype_of(dtype), offset, shape, strides)


def _parameter(data: Any, *_: Any) -> TorchTensor:
    if not isinstance(data, TorchTensor):
        raise InputError("a parameter in it is no tensor")
    return data


def _from_type(rebuild: Any, _type: Any, arguments: Any, _state: Any) -> TorchTensor:
    """A tensor with attributes, which are dropped."""
    if not isinstance(rebuild, Name) or not isinstance(arguments, tuple):
        raise InputError("a tensor in it is rebuilt by something that is no function")
    return _parameter(rebuild.make(*arguments))


def dtype_of(name: Any) -> str:
    """The type of values that a name in a pickle means.

    Raises:
        InputError: it means none.
    """
    short = name.full.split(".")[-1] if isinstance(name, Name) else ""
    found = DTYPES.get(short) or STORAGES.get(short)
    if short == UNTYPED:
        return "U8"
    if found is None:
        raise InputError("a storage in it has no type of values")
    return found


NAMES: Mapping[str, Maker] = {
    "collections.OrderedDict": _dictionary,
    "builtins.dict": _dictionary,
    "__builtin__.dict": _dictionary,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "torch.Size": _size,
    "torch.device": lambda *names: names,
    "torch.Tensor": _not_called,
    "torch.nn.parameter.Parameter": _not_called,
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    **{f"torch.{name}": _not_called for name in DTYPES},
    **{
        f"{module}.{name}": _not_called
        for module in ("torch", "torch.storage", "torch.cuda")
        for name in (*STORAGES, UNTYPED)
    },
}
