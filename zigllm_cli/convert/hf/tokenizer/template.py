"""The chat template: in a file of its own, or in `tokenizer_config.json`."""

from __future__ import annotations

from typing import Any

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.config import read_object
from zigllm_cli.convert.hf.tokenizer.files import TokenizerFiles
from zigllm_cli.gguf import ValueType

MORE = "additional_chat_templates"
"""The folder of templates with names."""


def put_templates(keys: Keys, files: TokenizerFiles) -> None:
    """Set `tokenizer.chat_template`, and others by name where there are several."""
    named: dict[str, str] = {}
    default = _default(files)
    if isinstance(default, str):
        named["default"] = default
    elif isinstance(default, list):
        for row in default:
            if isinstance(row, dict) and isinstance(row.get("template"), str):
                named[str(row.get("name", "default"))] = row["template"]
    for path in sorted((files.folder / MORE).glob("*.jinja")):
        named.setdefault(path.stem, files.text(f"{MORE}/{path.name}"))
    others = sorted(set(named) - {"default"})
    keys.text("tokenizer.chat_template", named.get("default"))
    for name in others:
        keys.text(f"tokenizer.chat_template.{name}", named[name])
    keys.array("tokenizer.chat_templates", ValueType.STRING, others or None)


def _default(files: TokenizerFiles) -> Any:
    if files.has("chat_template.jinja"):
        return files.text("chat_template.jinja")
    inside = files.config.get("chat_template")
    if inside is not None:
        return inside
    return read_object(files.folder / "chat_template.json").get("chat_template")
