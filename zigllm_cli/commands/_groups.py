"""Groups of options that several commands share: a dataclass whose fields are the options.

    @dataclass(frozen=True)
    class SamplingOptions(OptionGroup):
        temp: Annotated[float | None, typer.Option("--temp")] = None

    @flat
    def generate(prompt: ..., sampling: SamplingOptions) -> int: ...

`flat` gives the command line `--temp` and so on; the command gets them together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, get_type_hints


class OptionGroup:
    """Base of the dataclasses that `flat` spreads out."""


def flat(command: Callable[..., int]) -> Callable[..., int]:
    """A command whose option groups are single options for the parser."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[OptionGroup]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and issubclass(kind, OptionGroup):
            groups[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(annotation=kind, kind=parameter.KEYWORD_ONLY))

    @wraps(command)
    def flattened(**values: Any) -> int:
        for name, group in groups.items():
            own = {parameter.name: values.pop(parameter.name) for parameter in _options(group)}
            values[name] = group(**own)
        return command(**values)

    flattened.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flattened.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flattened


def _options(group: type[OptionGroup]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)  # type: ignore[arg-type]
    ]
