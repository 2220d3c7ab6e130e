"""Recipes, their settings, and the learning rate that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from zigllm_cli.errors import UsageError
from zigllm_cli.train.schedule import learning_rate
from zigllm_cli.train.settings import Settings, read_recipe, recipe_names

Run = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_are_whole_and_explained(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.about
    shape = recipe.settings.shape(100)
    assert shape.width % shape.heads == 0


def test_published_sizes() -> None:
    """As their authors count: nanoGPT without positions, minGPT without the output matrix."""
    from zigllm_cli.train.models import model

    def size(name: str, vocabulary: int, context: int | None = None) -> int:
        settings = read_recipe(name).settings
        shape = settings.changed(context=context or settings.context).shape(vocabulary)
        return sum(tensor.size for tensor in model(shape.architecture).tensors(shape))

    assert size("microgpt", 27) == 4192
    assert f"{(size('nanogpt-shakespeare-cpu', 65) - 64 * 128) / 1e6:.2f}" == "0.80"
    assert f"{(size('nanogpt-shakespeare', 65) - 256 * 384) / 1e6:.2f}" == "10.65"
    assert f"{(size('mingpt-sort', 3, 11) - 3 * 48) / 1e6:.2f}" == "0.09"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"foo": 1}, "no setting 'foo'"),
        ({"steps": "many"}, "a whole number is needed"),
        ({"steps": 1.5}, "a whole number is needed"),
        ({"tied": 1}, "a true or false is needed"),
        ({"special": [1]}, "a list of texts is needed"),
        ({"batch": 0}, "choose 1 to"),
        ({"dropout": 1.0}, "choose 0 to 0.95"),
        ({"learning_rate": float("nan")}, "choose 0 to"),
        ({"architecture": "gpt5"}, "choose one of llama"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Settings().changed(**changes)


def test_words_of_the_command_line_become_values() -> None:
    s = Settings().changed(steps="7", dropout="0.5", tied="false", special='["<a>"]', task="lines")
    assert (s.steps, s.dropout, s.tied, s.special, s.task) == (7, 0.5, False, ("<a>",), "lines")


@pytest.mark.parametrize("sizes", [{"width": 30}, {"kv_heads": 3}, {"width": 12}])
def test_sizes_that_do_not_fit(sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="choose --"):
        Settings().changed(**sizes).shape(10)


def test_the_learning_rate_rises_and_falls() -> None:
    s = Settings(warmup=9, steps=109, learning_rate=1.0, min_learning_rate=0.1)
    assert learning_rate(s, 0) == pytest.approx(0.1)
    assert learning_rate(s, 8) == pytest.approx(0.9)
    assert learning_rate(s, 9) == 1.0
    assert learning_rate(s, 59) == pytest.approx(0.55)
    assert learning_rate(s, 109) == learning_rate(s, 500) == 0.1
    line = s.changed(schedule="linear", min_learning_rate=0.0)
    assert learning_rate(line, 34) == pytest.approx(0.75)


def test_what_is_listed_is_a_recipe(tmp_path: Path, zigllm: Run) -> None:
    listed = zigllm("train", "--list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == recipe_names()
    one = zigllm("train", "--list", "--recipe", "chargpt", "--layers", "2", "--set", "clip=0.5")
    path = tmp_path / "mine.toml"
    path.write_text(one.stdout, "utf-8")
    expected = read_recipe("chargpt").settings.changed(layers=2, clip=0.5)
    assert read_recipe(str(path)).settings == expected


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipe 'nanogtp'; choose chargpt"):
        read_recipe("nanogtp")
    path = tmp_path / "mine.toml"
    path.write_text("layers = 'four'\n", "utf-8")
    with pytest.raises(UsageError, match=r"recipe mine: layers is 'four'"):
        read_recipe(str(path))
