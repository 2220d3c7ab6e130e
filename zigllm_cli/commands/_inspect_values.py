"""What `zigllm inspect` says about values: one tensor, a comparison, a check."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from zigllm_cli.commands._charts import blocks_wanted, histogram, ruler
from zigllm_cli.commands._inspect_lists import show_list
from zigllm_cli.commands._output import human_bytes, printable, show, stdout_console

if TYPE_CHECKING:
    from rich.console import Console

    from zigllm_cli.inspection.check import Report
    from zigllm_cli.inspection.diff import Difference, KeyChange, TensorChange
    from zigllm_cli.inspection.listing import TensorRow
    from zigllm_cli.inspection.statistics import Histogram, Statistics

HEIGHT = 7
SHOWN = 60
"""Characters of a changed value."""


def show_tensor(row: TensorRow, numbers: Statistics) -> None:
    """One tensor: what it is, its numbers, its histogram, its first values."""
    console = stdout_console()
    shape = " x ".join(map(str, row.shape)) or "scalar"
    title = Text(printable(row.name), "bold")
    title.append(f"  {shape}, {row.type}, {human_bytes(row.bytes)}", "not bold")
    show(console, title)
    show(console, "")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in _numbers(numbers):
        grid.add_row(label, value)
    show(console, grid)
    if numbers.histogram is not None:
        show(console, "")
        _show_histogram(console, numbers.histogram)


def _numbers(numbers: Statistics) -> list[tuple[str, str | Text]]:
    return [
        ("values", f"{numbers.count:,}"),
        ("min", _float(numbers.minimum)),
        ("max", _float(numbers.maximum)),
        ("mean", _float(numbers.mean)),
        ("std", _float(numbers.std)),
        ("zeros", _part(numbers.zeros, numbers.count)),
        ("NaN", _bad(numbers.nan)),
        ("Inf", _bad(numbers.positive_infinity + numbers.negative_infinity)),
        ("first", "  ".join(map(_float, numbers.first)) or "-"),
    ]


def _float(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _bad(count: int) -> str | Text:
    return Text(f"{count:,}", "bold red") if count else "0"


def _part(count: int, whole: int) -> str:
    return f"{count:,} ({count / whole:.2%})" if count and whole else f"{count:,}"


def _show_histogram(console: Console, chart: Histogram) -> None:
    width = min(len(chart.counts), max(console.width - 4, 16))
    if len(chart.counts) == 1:
        show(console, Text(f"every value is {chart.low:.6g}", "dim"))
        return
    lines = histogram(chart.counts, HEIGHT, width, blocks=blocks_wanted(sys.stdout))
    for line in lines:
        show(console, Text(f"  {line}", "blue"))
    scale = ruler(f"{chart.low:.4g}", f"{chart.high:.4g}", len(lines[0]))
    show(console, Text(f"  {scale}", "dim"))
    for count, side, end in ((chart.below, "below", chart.low), (chart.above, "above", chart.high)):
        if count:
            show(console, Text(f"  {count:,} more {side} {end:.4g}", "dim"))


def show_diff(difference: Difference) -> None:
    """Keys first, then tensors; nothing about what is equal but its number."""
    console = stdout_console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text("- A", "red"), Text(printable(difference.a), "red"))
    grid.add_row(Text("+ B", "green"), Text(printable(difference.b), "green"))
    show(console, grid, "", Text(_verdict(difference), "bold"))
    _show_names(console, "key", difference.keys_only_in_a, difference.keys_only_in_b)
    for change in difference.keys_changed:
        _show_key(console, change)
    _show_names(console, "tensor", difference.tensors_only_in_a, difference.tensors_only_in_b)
    if difference.tensors_changed:
        show(console, "")
        headers = ("tensor", "type", "max", "RMS", "relative", "SNR")
        rows = [
            (printable(change.name), _types(change), *_distances(change))
            for change in difference.tensors_changed
        ]
        show_list(rows, headers, ("", "cyan", ">", ">", ">", ">"))


def _side(sign: str) -> str:
    return "red" if sign == "-" else "green"


def _verdict(difference: Difference) -> str:
    if difference.equal:
        return (
            f"no difference: {difference.keys_equal} keys and "
            f"{difference.tensors_equal} tensors are equal"
        )
    parts = []
    for what, changed, only_a, only_b, equal in (
        (
            "keys",
            difference.keys_changed,
            difference.keys_only_in_a,
            difference.keys_only_in_b,
            difference.keys_equal,
        ),
        (
            "tensors",
            difference.tensors_changed,
            difference.tensors_only_in_a,
            difference.tensors_only_in_b,
            difference.tensors_equal,
        ),
    ):
        numbers = [f"{len(changed)} differ", f"{equal} equal"]
        numbers += [f"{len(only_a)} only in A"] if only_a else []
        numbers += [f"{len(only_b)} only in B"] if only_b else []
        parts.append(f"{what}: {', '.join(numbers)}")
    return "; ".join(parts)


def _show_names(
    console: Console, what: str, only_a: tuple[str, ...], only_b: tuple[str, ...]
) -> None:
    for sign, names in (("-", only_a), ("+", only_b)):
        for name in names:
            show(console, Text(f"{sign} {what} {printable(name)}", _side(sign), overflow="fold"))


def _show_key(console: Console, change: KeyChange) -> None:
    title = Text(f"\n{printable(change.key)}", "cyan")
    if change.type_a != change.type_b:
        title.append(f"  {change.type_a} became {change.type_b}", "yellow")
    show(console, title)
    if change.differing is None:
        for sign, value in (("-", change.a), ("+", change.b)):
            show(console, Text(f"  {sign} {_short(value)}", _side(sign), overflow="fold"))
        return
    counts = f"{change.count_a:,} elements"
    if change.count_a != change.count_b:
        counts += f" in A, {change.count_b:,} in B"
    show(console, f"  {change.differing:,} of {counts} differ")
    for element in change.first:
        for sign, value in (("-", element.a), ("+", element.b)):
            shown = "(nothing)" if value is None else _short(value)
            show(console, Text(f"  {sign} [{element.index}] {shown}", _side(sign)))


def _short(value: object) -> str:
    from zigllm_cli.inspection.formats import item_text, scalar_text

    text = item_text(value) if isinstance(value, list) else scalar_text(value)
    return printable(text) if len(text) <= SHOWN else printable(text[:SHOWN]) + " ..."


def _types(change: TensorChange) -> str:
    same = change.type_a == change.type_b
    return change.type_a if same else f"{change.type_a} > {change.type_b}"


def _distances(change: TensorChange) -> list[str]:
    values = change.values
    if values is None:
        if change.reason is not None:
            return ["not compared", "", "", ""]
        shapes = (" x ".join(map(str, shape)) for shape in (change.shape_a, change.shape_b))
        return [" > ".join(shapes), "", "", ""]
    maximum = f"{values.max_abs:.3g}"
    if values.not_finite:
        maximum += f" and {values.not_finite} not finite"
    relative = "-" if values.relative_rms is None else f"{values.relative_rms:.3%}"
    noise = "-" if values.snr_db is None else f"{values.snr_db:.1f} dB"
    return [maximum, f"{values.rms:.3g}", relative, noise]


def show_report(report: Report) -> None:
    """One line for each finding, problems first, then the count."""
    console = stdout_console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in report.findings:
        style = "bold red" if finding.severity == "problem" else "yellow"
        grid.add_row(Text(finding.severity, style), finding.area, printable(finding.message))
    if report.findings:
        show(console, grid)
    show(console, Text(_count(report), "bold red" if report.problems else "bold green"))


def _count(report: Report) -> str:
    looked = f"{report.tensors:,} tensors, {human_bytes(report.bytes)} looked at"
    found = [f"{report.problems} problem{'s' if report.problems != 1 else ''}"]
    if not report.problems:
        found = ["no problems"]
    if report.notes:
        found.append(f"{report.notes} note{'s' if report.notes != 1 else ''}")
    return f"{', '.join(found)} ({looked})"
