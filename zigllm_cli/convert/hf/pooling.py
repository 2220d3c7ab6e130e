"""`modules.json` of sentence-transformers: how a text's vector is made of its tokens'."""

from __future__ import annotations

from pathlib import Path

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.config import read_json, read_object
from zigllm_cli.errors import InputError, UnsupportedError

MODES = {"mean": 1, "cls": 2, "lasttoken": 3}
"""`pooling_type` of GGUF by sentence-transformers' name."""

OLDER = {
    "pooling_mode_mean_tokens": 1,
    "pooling_mode_cls_token": 2,
    "pooling_mode_lasttoken": 3,
}


def put_pooling(keys: Keys, folder: Path) -> None:
    """Set `pooling_type` where the folder tells it.

    Raises:
        UnsupportedError: a way of pooling that GGUF does not have.
    """
    for module in _modules(folder):
        if not str(module.get("type", "")).endswith("Pooling"):
            continue
        path = (folder / str(module.get("path", "")) / "config.json").resolve()
        if folder.resolve() not in path.parents:
            raise InputError(f"{folder / 'modules.json'} names {path}, which is not in its folder")
        pooling = read_object(path)
        chosen = [number for name, number in OLDER.items() if pooling.get(name)]
        mode = pooling.get("pooling_mode")
        if not chosen and mode in MODES:
            chosen = [MODES[mode]]
        if not chosen:
            raise UnsupportedError(f"{path} pools in a way that GGUF has no name for")
        keys.u32(".pooling_type", chosen[0])
        return


def _modules(folder: Path) -> list[dict[str, object]]:
    found = read_json(folder / "modules.json")
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(module, dict) for module in found):
        raise InputError(f"{folder / 'modules.json'} is damaged: it is no list of modules")
    return found
