"""`zigllm train --list`: recipes with a sentence each, or all settings of one."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from typing import Any

from zigllm_cli.commands._output import print_json, write
from zigllm_cli.train.settings import read_recipe, recipe_names


def show_recipes(name: str | None, changes: dict[str, Any], *, json: bool) -> None:
    """On stdout; what is shown of one recipe is TOML, which --recipe takes again."""
    if name is None:
        recipes = [read_recipe(each) for each in recipe_names()]
        if json:
            print_json({each.name: {"about": each.about} for each in recipes})
            return
        wide = max(len(each.name) for each in recipes)
        write("".join(f"{each.name:<{wide}}  {each.about}\n" for each in recipes))
        return
    values = asdict(read_recipe(name).settings.changed(**changes))
    if json:
        print_json(values)
        return
    write("".join(f"{key} = {_toml(value)}\n" for key, value in values.items()))


def _toml(value: Any) -> str:
    return dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
