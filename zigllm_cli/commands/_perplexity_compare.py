"""`zigllm perplexity --compare`: several models on one text, as a table and as a chart.

Models with the vocabulary of the first run side by side, so that each one's distribution can be
compared with the first one's on the spot. One with another vocabulary cuts the text into other
tokens: it runs by itself, and bits per byte are what can be compared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli.commands._bench_output import show_rows
from zigllm_cli.commands._charts import blocks_wanted
from zigllm_cli.commands._engine import EngineRequest, open_model
from zigllm_cli.commands._output import columns, human_bytes, print_json, printable, write
from zigllm_cli.commands._perplexity_chart import Point, chart, labels
from zigllm_cli.commands._perplexity_progress import Extent, Progress
from zigllm_cli.commands._perplexity_report import as_document as single
from zigllm_cli.commands._perplexity_report import bits_per_weight, write_document
from zigllm_cli.commands._perplexity_rules import Cut, Form
from zigllm_cli.commands._perplexity_run import Outcome
from zigllm_cli.commands._perplexity_source import Text, prepared
from zigllm_cli.errors import UsageError
from zigllm_cli.evaluate.evaluator import Contender, evaluate
from zigllm_cli.evaluate.text import TokenStream
from zigllm_cli.evaluate.totals import Comparison, Totals

if TYPE_CHECKING:
    from zigllm_cli.evaluate.windows import Windowing
    from zigllm_cli.model import Model

SCHEMA = "zigllm.perplexity-compare/1"

WIDEST = 100
"""Columns of the chart, at most."""


@dataclass
class Entry:
    """A model of the comparison.

    Attributes:
        name: of the file, short.
        model: as opened.
        totals: of its chunks.
        rate: tokens per second.
    """

    name: str
    model: Model
    totals: Totals = field(default_factory=Totals)
    rate: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.model.file.size

    @property
    def comparison(self) -> Comparison | None:
        """With the first model; None where the vocabularies differ."""
        return None if self.totals.base is None else Comparison.of(self.totals)


def compare_models(
    models: Sequence[str],
    text: Path,
    request: EngineRequest,
    cut: Cut,
    form: Form,
    plot: Path | None,
    *,
    dark: bool,
) -> None:
    """Evaluate all of them and show the results."""
    if plot is not None:
        _check_plot(plot)
    opened = [open_model(replace(request, model=name)) for name in models]
    entries = [Entry(name, model) for name, model in zip(short_names(models), opened, strict=True)]
    windowing = cut.windowing(opened[0].file)
    for group in _by_vocabulary(entries):
        _run(group, text, windowing, cut.limit, with_base=group[0] is entries[0])
    document = as_document(entries, str(text), windowing)
    if form.output is not None:
        write_document(form.output, document)
    if plot is not None:
        title = f"{text.name}, {windowing.name}"
        from zigllm_cli.commands._perplexity_plot import write_plot

        write_plot(points(entries), plot, title=title, dark=dark)
    if form.json:
        print_json(document)
    else:
        show_table(entries)


def _check_plot(path: Path) -> None:
    """Refuse at the start what could not be written in the end.

    Raises:
        UsageError: another suffix, or matplotlib is missing.
    """
    if path.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--plot {path}: the name must end in .png or .svg")
    if find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs the package matplotlib; install it with pip install 'zigllm-cli[plot]'"
        )


def short_names(models: Sequence[str]) -> list[str]:
    """Names that tell them apart: the files', or the paths where two files have the same."""
    names = [Path(model).name.removesuffix(".gguf") for model in models]
    return names if len(set(names)) == len(names) else list(models)


def _by_vocabulary(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Entries that can run together, the first one's group first."""
    left = list(entries)
    while left:
        first = left[0].model.tokenizer.vocabulary
        group = [
            entry
            for entry in left
            if entry.model.tokenizer.vocabulary.tokens == first.tokens
            and entry.model.tokenizer.prefix == left[0].model.tokenizer.prefix
        ]
        yield group
        left = [entry for entry in left if entry not in group]


def _run(
    group: Sequence[Entry],
    text: Path,
    windowing: Windowing,
    limit: int | None,
    *,
    with_base: bool,
) -> None:
    tokenizer = group[0].model.tokenizer
    source = Text.open(text)
    stream = TokenStream(tokenizer, source.file)
    bos = tokenizer.prefix[0] if tokenizer.prefix else None
    with ExitStack() as stack:
        contenders = [Contender(entry.model, windowing.length) for entry in group]
        for contender in contenders:
            stack.callback(contender.close)
        extent = Extent(windowing.step, limit, 1, stream, source.size)
        progress = Progress(extent, group[0].totals)
        stack.callback(progress.close)
        windows = prepared(windowing.windows(stream, bos, limit), contenders, progress)
        base = contenders[0] if with_base else None
        for chunks in evaluate(windows, contenders, base):
            for entry, chunk in zip(group, chunks, strict=True):
                entry.totals.add(chunk)
            progress.update()
        for entry, contender in zip(group, contenders, strict=True):
            entry.rate = contender.tokens / contender.seconds if contender.seconds else 0.0


def show_table(entries: Sequence[Entry]) -> None:
    """On stdout: a row for each model, and the chart below."""
    rows = []
    for entry in entries:
        value, error = entry.totals.perplexity
        row = [
            printable(entry.name),
            human_bytes(entry.size),
            f"{bits_per_weight(entry.model.file):.2f}",
            f"{value:.4f} ± {error:.4f}",
            f"{entry.totals.bits_per_byte:.4f}",
        ]
        found = entry.comparison
        if found is None or entry is entries[0]:
            row += ["base" if entry is entries[0] else "-", ""]
        else:
            row += [f"{found.kld[0]:.6f}", f"{100 * found.same_top[0]:.2f} %"]
        rows.append([*row, f"{entry.rate:.1f}"])
    header = ["model", ">size", ">bits/weight", ">perplexity", ">bits/byte", ">KLD", ">same top"]
    show_rows([*header, ">tokens/s"], rows, "table")
    write("\n")
    for line in chart(
        points(entries), min(columns(sys.stdout), WIDEST), blocks=blocks_wanted(sys.stdout)
    ):
        write(line.rstrip() + "\n")


def points(entries: Sequence[Entry]) -> list[Point]:
    """What the charts show."""
    names = labels([entry.name for entry in entries])
    return [
        Point(
            name,
            entry.size,
            *entry.totals.perplexity,
            apart=None if entry.comparison is None else entry.comparison.difference[1],
        )
        for name, entry in zip(names, entries, strict=True)
    ]


def as_document(entries: Sequence[Entry], text: str, windowing: Windowing) -> dict[str, Any]:
    """The JSON form: each model as `--json` has a single one."""
    results = []
    for entry in entries:
        name, windows = str(entry.model.file.path), windowing.name
        results.append(single(Outcome(name, windows, entry.totals, entry.model.file, entry.rate)))
    return {"schema": SCHEMA, "text": text, "windows": windowing.name, "models": results}
