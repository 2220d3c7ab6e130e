"""What `zigllm convert` prints: what would be written, and what was."""

from __future__ import annotations

from collections import Counter
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from zigllm_cli.commands._output import (
    human_bytes,
    human_count,
    print_json,
    printable,
    show,
    stdout_console,
    talk,
)
from zigllm_cli.commands._quantize_output import show_rows

if TYPE_CHECKING:
    from zigllm_cli.commands._convert_run import Plan, Result


def show_plan(plan: Plan, *, json: bool) -> None:
    """The table of a dry run."""
    if json:
        print_json(_summary(plan) | {"tensors": _tensors(plan)})
        return
    show_rows(plan.decisions.rows)
    _show_summary(plan)
    show(stdout_console(), Text(f"would be {printable(str(plan.path))}"))


def show_result(result: Result, *, json: bool) -> None:
    """What was written."""
    checked = result.verification
    if json:
        verified = checked and {
            "exact": checked.exact,
            "rounded": len(checked.losses),
            "least_snr_db": checked.worst_snr if isfinite(checked.worst_snr) else None,
        }
        print_json(
            _summary(result.plan)
            | {
                "files": [str(path) for path in result.paths],
                "seconds": result.seconds,
                "verified": verified,
            }
        )
        return
    _show_summary(result.plan)
    console = stdout_console()
    if checked:
        show(console, Text(f"verified: {checked.exact} tensors are exactly those of the source"))
        if checked.losses:
            least = f"the coarsest to {checked.worst_snr:.1f} dB"
            show(console, Text(f"          {len(checked.losses)} are rounded, {least}"))
    names = ", ".join(str(path) for path in result.paths)
    show(console, Text(f"{printable(names)}, written in {result.seconds:.1f} s"))


def show_folder(paths: list[Path], *, json: bool) -> None:
    """The files of a folder that was written."""
    if json:
        print_json({"files": [str(path) for path in paths]})
        return
    for path in paths:
        size = human_bytes(path.stat().st_size)
        show(stdout_console(), Text(f"{size:>8}  ", "dim") + Text(printable(str(path))))


def _summary(plan: Plan) -> dict[str, Any]:
    conversion, decisions = plan.conversion, plan.decisions
    return {
        "source": conversion.source,
        "architecture": conversion.architecture,
        "name": conversion.name,
        "parameters": conversion.parameters,
        "type": decisions.kind.name,
        "bytes": decisions.nbytes,
        "bits_per_weight": decisions.bits_per_weight,
        "tokenizer": conversion.tokenizer,
        "notes": list(conversion.notes),
    }


def _tensors(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "shape": list(row.tensor.shape),
            "from": row.tensor.type.name,
            "to": row.type.name,
            "bytes": row.nbytes,
        }
        for row in plan.decisions.rows
    ]


def _show_summary(plan: Plan) -> None:
    conversion, decisions = plan.conversion, plan.decisions
    types = Counter(row.type.name for row in decisions.rows)
    mix = ", ".join(f"{count} {name}" for name, count in types.most_common())
    size = f"{human_bytes(decisions.nbytes)}, {decisions.bits_per_weight:.2f} bits per weight"
    rows = [
        ("source", conversion.source),
        ("model", f"{conversion.name} · {conversion.architecture}"),
        ("parameters", f"{human_count(conversion.parameters)} in {len(decisions.rows)} tensors"),
        ("tokenizer", conversion.tokenizer),
        ("type", f"{decisions.kind.name}: {mix}"),
        ("size", size),
    ]
    console = stdout_console()
    for label, value in rows:
        show(console, Text(f"{label:<12}", "dim") + Text(printable(value)))
    for note in conversion.notes:
        talk(f"note: {printable(note)}")
