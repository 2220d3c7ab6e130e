"""How a training is shown: the curve, the picture, and the file of --plot."""

from __future__ import annotations

import io
import json
from math import exp
from pathlib import Path

import pytest

from zigllm_cli.commands._train_curve import curve
from zigllm_cli.commands._train_view import JsonLines
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.trainer import History, Report

LOSSES = [1 + 3 * exp(-step / 50) for step in range(200)]


@pytest.mark.parametrize("blocks", [False, True])
def test_the_curve_falls_from_the_left_above(blocks: bool) -> None:
    lines = curve(LOSSES, 60, 6, steps=200, blocks=blocks)
    assert len(lines) == 6
    assert all(len(line) <= 60 for line in lines)
    assert 3.9 < float(lines[0].split()[0]) < 4
    assert 1 < float(lines[-1].split()[0]) < 1.1
    starts = [len(line[8:]) - len(line[8:].lstrip()) for line in lines]
    assert starts == sorted(starts)
    half = curve(LOSSES[:100], 60, 6, steps=200, blocks=blocks)
    assert max(map(len, half)) <= 8 + 26


def test_no_curve_where_there_is_no_room() -> None:
    assert curve(LOSSES, 12, 6, steps=200) == []
    assert curve([], 60, 6, steps=200) == []
    assert curve([2.0], 60, 6, steps=1)


def test_the_picture_has_table_curve_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from zigllm_cli.commands._train_view import Screen

    class Live:
        picture: object = None

        def update(self, picture: object, *, refresh: bool) -> None:
            self.picture = picture

    monkeypatch.setenv("COLUMNS", "60")
    live, history = Live(), History()
    screen = Screen(Settings(steps=40, evaluate_every=20), history, live, io.StringIO())
    for step in range(1, 31):
        history.losses.append(LOSSES[step])
        validation = 2.5 if step == 20 else float("nan")
        screen.step(Report(step, LOSSES[step], 1e-3, 0.5, 100, 0.01, validation))
    console = Console(file=io.StringIO(), width=60)
    console.print(screen._picture(Report(30, LOSSES[30], 1e-3, 0.5, 100, 0.01)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "step 30 of 40" in text
    assert "2.5000" in text
    assert "validation" in text
    assert all(len(line) <= 60 for line in text.splitlines())


def test_a_reader_of_json_lines_gets_each_step_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.BytesIO()
    stdout = io.TextIOWrapper(io.BufferedWriter(pipe))  # type: ignore[arg-type]
    monkeypatch.setattr("sys.stdout", stdout)
    lines = JsonLines(Settings(steps=2), History())
    for step in (1, 2):
        lines.step(Report(step, 2.0, 1e-3, 0.5, 100, 0.01))
        assert json.loads(pipe.getvalue().splitlines()[-1])["step"] == step


@pytest.mark.extra
@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_plot_is_written(form: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from zigllm_cli.commands._train_plot import write_plot

    history = History(LOSSES, [(100, 1.5), (200, 1.2)])
    paths = [tmp_path / f"{i}.{form}" for i in range(2)]
    for path in paths:
        write_plot(history, path, title="a title")
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes()
    assert content.startswith(b"\x89PNG" if form == "png" else b"<?xml")
