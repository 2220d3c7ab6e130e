"""What `zigllm quantize` prints: decisions, results, losses and where they are, advice."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.text import Text

from zigllm_cli.commands._charts import LEVELS, blocks_wanted
from zigllm_cli.commands._inspect_lists import show_list
from zigllm_cli.commands._output import (
    human_bytes,
    print_json,
    printable,
    show,
    stdout_console,
    talk,
)

if TYPE_CHECKING:
    from zigllm_cli.commands._quantize_run import Plan, Result
    from zigllm_cli.quantization.advice import Advice
    from zigllm_cli.quantization.budget import Choice
    from zigllm_cli.quantization.decisions import Decision
    from zigllm_cli.quantization.file_types import FileType
    from zigllm_cli.quantization.loss import Loss


def show_types(kinds: list[FileType], *, json: bool) -> None:
    """All file types."""
    from zigllm_cli.quantization.file_types import ABOUT

    if json:
        print_json(
            [
                {
                    "name": kind.name,
                    "number": kind.number,
                    "type": kind.default.name,
                    "bits_per_weight": kind.default.bits_per_weight,
                    "about": ABOUT[kind.name],
                }
                for kind in kinds
            ]
        )
        return
    rows = [(kind.name, f"{kind.default.bits_per_weight:.4g}", ABOUT[kind.name]) for kind in kinds]
    show_list(
        [*rows, ("COPY", "", "every tensor as it is")], ("type", "bits", ""), ("cyan", ">", "")
    )


# ------------------------------------------------------------------ decisions


def show_decisions(plan: Plan, *, json: bool) -> None:
    """The table of a dry run."""
    lacking = plan.decisions.first_without(plan.importance.entries if plan.importance else ())
    if json:
        print_json(
            {
                **_summary(plan),
                "needs_imatrix": lacking is not None,
                "tensors": [_row(row) for row in plan.decisions.rows],
            }
        )
        return
    show_rows(plan.decisions.rows)
    _show_totals(plan)
    if lacking:
        talk(f"{lacking.name} as {lacking.type} needs an importance matrix: --imatrix FILE")


def show_rows(rows: Sequence[Decision]) -> None:
    """A line for each tensor: its name, its shape, its types and its size."""
    cells = [
        (
            printable(row.name),
            " x ".join(map(str, row.tensor.shape)) or "scalar",
            row.tensor.type.name,
            row.type.name + (f" for {row.wanted}" if row.fell_back else ""),
            human_bytes(row.nbytes),
        )
        for row in rows
    ]
    show_list(cells, ("name", "shape", "from", "to", "size"), ("", "", "dim", "cyan", ">"))


def _row(row: Decision) -> dict[str, Any]:
    return {
        "name": row.name,
        "shape": list(row.tensor.shape),
        "from": row.tensor.type.name,
        "to": row.type.name,
        "bytes": row.nbytes,
        "fell_back": row.fell_back,
        "needs_imatrix": row.needs_importance,
    }


def _summary(plan: Plan) -> dict[str, Any]:
    decisions = plan.decisions
    return {
        "type": decisions.kind.name,
        "bytes": decisions.nbytes,
        "old_bytes": decisions.old_nbytes,
        "bits_per_weight": decisions.bits_per_weight,
        **({"choice": plan.choice.as_json()} if plan.choice else {}),
    }


def _show_totals(plan: Plan) -> None:
    console, decisions = stdout_console(), plan.decisions
    old, new = human_bytes(decisions.old_nbytes), human_bytes(decisions.nbytes)
    bits = f"{decisions.bits_per_weight:.2f} bits per weight"
    show(console, Text(f"\n{decisions.kind.name}: {old} -> {new}, {bits}", "bold"))
    fallen = sum(row.fell_back for row in decisions.rows)
    if fallen:
        text = f"{fallen} tensors have rows that are not whole blocks and get another type"
        show(console, Text(text, "yellow"))
    if plan.choice:
        for line in _reasons(plan.choice):
            show(console, Text(line))


def _reasons(choice: Choice) -> Iterator[str]:
    """Why these types."""
    yield "matrices: " + ", ".join(f"{count} {name}" for name, count in choice.counts.most_common())
    yield f"expected error of the logits: {_percent(choice.noise)}"
    if choice.fixed:
        name, nbytes, noise = choice.fixed
        mix = f"the best fixed mix of that size, {name} ({human_bytes(nbytes)})"
        yield f"{mix}, has {_percent(noise)}" if noise > choice.noise else f"it is {mix}"


def _percent(noise: float) -> str:
    """The amplitude of a noise that is given as power."""
    return f"{100 * noise**0.5:.2f} %"


# ------------------------------------------------------------------ results and losses


def show_result(result: Result, *, json: bool) -> None:
    """What was written, and what was lost."""
    plan = result.plan
    if json:
        print_json(
            {
                **_summary(plan),
                "files": [str(path) for path in result.paths],
                "seconds": result.seconds,
                **({"loss": _losses(result)} if result.losses else {}),
            }
        )
        return
    if result.losses:
        _show_losses(result)
    _show_totals(plan)
    names = ", ".join(str(path) for path in result.paths)
    show(stdout_console(), Text(f"{printable(names)}, written in {result.seconds:.1f} s"))


def _losses(result: Result) -> dict[str, Any]:
    types = {row.name: row.type for row in result.plan.decisions.rows}
    tensors = {
        name: {"type": types[name].name, "bits_per_weight": types[name].bits_per_weight}
        | _numbers(loss)
        for name, loss in result.losses.items()
    }
    return {"total": _numbers(total(result.losses.values())), "tensors": tensors}


def total(losses: Any) -> Loss:
    """The sum of losses."""
    from zigllm_cli.quantization.loss import Loss

    return sum(losses, Loss())


def _numbers(loss: Loss) -> dict[str, Any]:
    return {
        "values": loss.count,
        "rmse": loss.rmse,
        "snr_db": loss.snr if isfinite(loss.snr) else None,
        "weighted_noise": loss.noise,
        "max_abs": loss.max_abs,
    }


def _show_losses(result: Result) -> None:
    types = {row.name: row.type for row in result.plan.decisions.rows}
    rows = [
        (
            printable(name),
            types[name].name,
            f"{types[name].bits_per_weight:.2f}",
            *_cells(loss),
        )
        for name, loss in result.losses.items()
    ]
    everything = total(result.losses.values())
    rows.append(("total", "", "", *_cells(everything)))
    headers = ("name", "type", "bits", "RMSE", "SNR", "max error")
    show_list(rows, headers, ("", "cyan", ">", ">", ">", ">"))
    show_map({name: loss.noise for name, loss in result.losses.items()})


def _cells(loss: Loss) -> tuple[str, str, str]:
    snr = f"{loss.snr:.1f} dB" if isfinite(loss.snr) else "exact"
    return f"{loss.rmse:.3g}", snr, f"{loss.max_abs:.3g}"


def show_map(noise: dict[str, float]) -> None:
    """A picture of where the error is: matrices by layers, the higher the louder."""
    from zigllm_cli.quantization.mixes import LAYER

    places: dict[str, dict[int, float]] = {}
    for name, value in noise.items():
        match = LAYER.match(name)
        kind = name[match.end() :] if match else name
        places.setdefault(kind.removesuffix(".weight"), {})[int(match[1]) if match else 0] = value
    loudest = max(noise.values(), default=0.0)
    layers = 1 + max((layer for row in places.values() for layer in row), default=0)
    console = stdout_console()
    labels = max(map(len, places), default=0)
    width = max(min(layers, console.width - labels - 2), 1)
    levels = LEVELS if blocks_wanted(sys.stdout) else " .:|#"
    show(console, Text("\nwhere the error is, layer by layer (noise to signal)", "bold"))
    for kind, row in places.items():
        if len(row) == 1 and layers > 1:
            line = _level(next(iter(row.values())), loudest, levels)
        else:
            line = "".join(_level(v, loudest, levels) for v in _merged(row, layers, width))
        show(console, Text(f"{printable(kind):<{labels}}  ") + Text(line, "cyan"))
    show(console, Text(f"highest: {loudest:.3g}", "dim"))


def _merged(row: dict[int, float], layers: int, width: int) -> list[float]:
    """The loudest of the layers that share a column."""
    columns = [0.0] * width
    for layer, value in row.items():
        column = layer * width // layers
        columns[column] = max(columns[column], value)
    return columns


def _level(value: float, loudest: float, levels: Sequence[str]) -> str:
    if not value or not loudest:
        return levels[0]
    return levels[max(1, round(value / loudest * (len(levels) - 1)))]


# ------------------------------------------------------------------ advice


def show_advice(advice: list[Advice], *, json: bool) -> None:
    """The types that could be chosen, largest first."""
    if json:
        print_json([item.as_json() for item in advice])
        return
    rows = [
        (
            item.name,
            human_bytes(item.nbytes),
            f"{item.bits_per_weight:.2f}",
            human_bytes(item.memory),
            "yes" if item.fits else "no",
            _percent(item.noise) if item.noise is not None else "needs --imatrix",
        )
        for item in advice
    ]
    headers = ("type", "size", "bits", "memory", "fits", "error of logits")
    show_list(rows, headers, ("cyan", ">", ">", ">", "", ">"))
