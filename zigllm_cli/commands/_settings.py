"""Where the value of a setting comes from: option > environment > models.toml > file > default.

`ConfiguredCommand` fills in what the command line leaves out, before the command is called; what
the model's own file says (its trained context, its template, `general.sampling.*`) is found by
the parts that use it, and shown here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand, TyperOption

from zigllm_cli.catalog import ModelEntry, entry_of
from zigllm_cli.catalog.entries import KEYS, SAMPLING_KEYS
from zigllm_cli.errors import InputError, UsageError

GGUF_KEYS = {
    "ctx": "{arch}.context_length",
    "template": "tokenizer.chat_template",
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "repeat_penalty": "general.sampling.penalty_repeat",
    "repeat_last_n": "general.sampling.penalty_last_n",
}
"""Metadata in which a model's file speaks of a setting."""

SETTINGS = ("model", *(key for key in KEYS if key not in ("path", "description", "sampling")))

SHOW = "--show-config"


@dataclass(frozen=True)
class Setting:
    """A value, and who says so."""

    name: str
    value: Any
    source: str


class ConfiguredCommand(TyperCommand):
    """A command whose options may also come from the environment and from models.toml."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if any(parameter.name == "template" for parameter in self.params):
            self.params.append(_show_option())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line, then everything that may speak where it is silent."""
        rest: list[str] = super().parse_args(ctx, args)
        if ctx.resilient_parsing or "model" not in ctx.params:
            return rest
        settings = self._fill(ctx)
        if ctx.params.pop("show_config", False):
            show(settings, ctx.params["model"])
            ctx.exit(0)
        return rest

    def _fill(self, ctx: Any) -> list[Setting]:
        """Put values where none was given; returns every setting of this command."""
        found = []
        parameters = {p.name: p for p in self.params if p.name in (*SETTINGS, *SAMPLING_KEYS)}
        entry: ModelEntry | None = None
        for name in sorted(parameters, key=[*SETTINGS, *SAMPLING_KEYS].index):
            setting = (
                Setting(name, ctx.params[name], "command line")
                if _is_given(ctx, name)
                else self._configured(ctx, parameters[name], entry)
            )
            ctx.params[name] = setting.value
            found.append(setting)
            if name == "model" and setting.value is not None:
                entry = entry_of(setting.value)
        return found

    def _configured(self, ctx: Any, parameter: Any, entry: ModelEntry | None) -> Setting:
        name = parameter.name
        variable = f"ZIGLLM_{name.upper()}"
        value = os.environ.get(variable)
        source = variable
        if value is None and entry is not None:
            is_sampling = name in SAMPLING_KEYS
            table: Mapping[str, Any] = entry.sampling if is_sampling else entry.settings
            if is_sampling and _is_given(ctx, "preset"):
                table = {}  # an option that speaks of all of them
            value = table.get(name)
            source = f"{entry.origin}{'.sampling' if is_sampling else ''}.{name}"
        if value is None:
            return Setting(name, ctx.params[name], "")
        try:
            return Setting(name, parameter.process_value(ctx, value), source)
        except Exception as error:
            text = getattr(error, "message", str(error)).rstrip(".")
            raise UsageError(f"{source} is no good: {text}") from None


def _is_given(ctx: Any, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _show_option() -> Any:
    return TyperOption(
        param_decls=[SHOW],
        is_flag=True,
        default=False,
        help="Print every setting and where its value comes from, and exit.",
    )


def show(settings: list[Setting], model: str | None) -> None:
    """A line for each setting: name, value, source."""
    from zigllm_cli.catalog import BUILTIN, resolve
    from zigllm_cli.commands._output import printable, talk
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.sampling import Sampling

    metadata: Mapping[str, Any] = {}
    try:
        metadata = open_gguf(resolve(model or BUILTIN)).metadata
    except InputError as error:
        talk(f"what the model's file says is left out: {error}")
    usual = {**vars(Sampling()), "model": BUILTIN}
    rows = [_completed(setting, metadata, usual) for setting in settings]
    width = max(len(row.name) for row in rows)
    for row in rows:
        value = "-" if row.value is None else printable(str(row.value))
        value = value if len(value) <= 40 else f"{value[:37]}..."
        print(f"{row.name:<{width}}  {value:<40}  {printable(row.source)}".rstrip())


def _completed(setting: Setting, metadata: Mapping[str, Any], usual: Mapping[str, Any]) -> Setting:
    """A setting for which nobody spoke, as the model's file has it, or else the program."""
    name = setting.name
    if setting.source:
        return setting
    key = GGUF_KEYS.get(name, "").format(arch=metadata.get("general.architecture"))
    value = metadata.get(key)
    if value is not None:
        return Setting(name, value, f"the model's {key}")
    return Setting(name, usual.get(name) if setting.value is None else setting.value, "default")
