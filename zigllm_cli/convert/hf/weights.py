"""The tensors of a folder: one file or many, safetensors or torch's, FP8 times its scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from zigllm_cli.convert.hf.config import Config, read_object
from zigllm_cli.convert.safetensors import SafetensorsFile
from zigllm_cli.convert.values import Array, Values
from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf.types import tensor_type

SCALES = (".weight_scale_inv", ".weight_scale")
"""What an FP8 matrix is to be multiplied with, beside its `.weight`."""

ACTIVATION_SCALES = (".input_scale", ".k_scale", ".v_scale", ".activation_scale")
"""Scales of what is computed, which are of no use to weights."""

PACKED = (".qweight", ".qzeros", ".weight_packed", ".absmax", ".quant_map")
"""Endings of tensors that other quantizers have packed in ways of their own."""


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, safetensors before torch's.

    Raises:
        InputError: there are none, or some of them are missing.
    """
    for stem, ending in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        index = read_object(folder / f"{stem}{ending}.index.json")
        if index:
            return _indexed(folder, index, f"{stem}{ending}.index.json")
        found = sorted(folder.glob(f"{stem}*{ending}"))
        if found:
            return found
    raise InputError(f"{folder} has no weights: neither model*.safetensors nor pytorch_model*.bin")


def _indexed(folder: Path, index: dict[str, object], name: str) -> list[Path]:
    table = index.get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(part, str) for part in table.values()):
        raise InputError(f"{folder / name} is damaged: it has no weight_map")
    paths = [folder / part for part in sorted(set(table.values()))]
    for path in paths:
        if path.parent != folder:
            raise InputError(f"{folder / name} names {path}, which is not in its folder")
        if not path.is_file():
            raise InputError(f"{path} is missing; {name} needs it")
    return paths


def read_weights(folder: Path, config: Config) -> list[Values]:
    """All tensors, in the order of their files.

    Raises:
        InputError: a file is damaged, or the index says something else than the files.
        UnsupportedError: weights that another quantizer has packed.
    """
    found: dict[str, Values] = {}
    for path in weight_files(folder):
        for values in _tensors(path):
            if values.name in found:
                raise InputError(f"{path}: {values.name} is in another file of the folder too")
            found[values.name] = values
    _check_index(folder, found)
    _check_packed(found, config)
    return list(_scaled(found))


def _tensors(path: Path) -> Iterator[Values]:
    if path.suffix == ".safetensors":
        yield from SafetensorsFile(path)
        return
    from zigllm_cli.convert.torch import read_torch, tensors_of, values_of

    for name, tensor in tensors_of(read_torch(path)).items():
        yield values_of(name, tensor)


def _check_index(folder: Path, found: dict[str, Values]) -> None:
    for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        table = read_object(folder / name).get("weight_map")
        if not isinstance(table, dict):
            continue
        for missing in table.keys() - found.keys():
            raise InputError(f"{folder / table[missing]} lacks {missing}, which {name} promises")
        for extra in found.keys() - table.keys():
            raise InputError(f"{extra} is in the files of {folder}, but not in {name}")
        return


def _check_packed(found: dict[str, Values], config: Config) -> None:
    settings = config.get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    for name in found:
        if name.endswith(PACKED):
            raise UnsupportedError(
                f"the weights are quantized already, by {method or 'another program'} ({name}); "
                "convert the model that they were made from, and quantize it here"
            )


def _scaled(found: dict[str, Values]) -> Iterator[Values]:
    """Without the scales, which matrices have taken in."""
    for name, values in found.items():
        if name.endswith(SCALES + ACTIVATION_SCALES):
            continue
        stem = name.removesuffix(".weight")
        scale = next((found[stem + end] for end in SCALES if stem + end in found), None)
        yield values if scale is None else scaled(values, scale)


def scaled(values: Values, scale: Values) -> Values:
    """A matrix times its scale: one number, one for each row, or one for each block of 128 x 128.

    Raises:
        InputError: the scale does not fit.
    """
    rows, columns = (*values.shape, 1, 1)[:2]
    multiply: Callable[[Array, Array], Array]
    if len(values.shape) != 2:
        raise InputError(f"{values.name} has a scale, but is no matrix")
    if scale.shape in ((), (1,), (1, 1), (rows, 1), (1, columns)):
        multiply = _as_it_is
    elif scale.shape == (rows,):
        multiply = _by_row
    elif len(scale.shape) == 2:
        steps = [-(-n // s) for n, s in zip(values.shape, scale.shape, strict=True)]
        step = max(1 << (n - 1).bit_length() for n in steps)
        if scale.shape != tuple(-(-n // step) for n in values.shape):
            raise InputError(f"{scale.name} of shape {scale.shape} does not fit {values.name}")
        multiply = partial(_by_block, step)
    else:
        raise InputError(f"{scale.name} of shape {scale.shape} does not fit {values.name}")
    return Values(
        values.name,
        values.shape,
        tensor_type("F32"),
        lambda: multiply(values.floats(), scale.floats()),
        values.release,
    )


def _as_it_is(array: Array, scale: Array) -> Array:
    return array * scale


def _by_row(array: Array, scale: Array) -> Array:
    return array * scale[:, None]


def _by_block(step: int, array: Array, scale: Array) -> Array:
    for row in range(scale.shape[0]):
        part = array[row * step : (row + 1) * step]
        part *= scale[row].repeat(step)[: array.shape[1]]
    return array
