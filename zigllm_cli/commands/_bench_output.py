"""Results of `zigllm bench` as a table, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli import __version__
from zigllm_cli.commands._bench_measure import Result
from zigllm_cli.commands._output import (
    human_bytes,
    human_count,
    print_json,
    printable,
    show,
    stdout_console,
    write,
)

if TYPE_CHECKING:
    from zigllm_cli.gguf import GGUFFile

SCHEMA = "zigllm.bench/1"


@dataclass(frozen=True)
class Subject:
    """What was measured, and where.

    Attributes:
        size: bytes of the tensors.
        isa: instruction set that kernels were compiled for.
    """

    model: str
    type: str
    size: int
    parameters: int
    kv_type: str
    cpu: str
    isa: str
    version: str

    @classmethod
    def of(cls, file: GGUFFile, kv_type: str) -> Subject:
        """The facts about a model and this machine."""
        from zigllm_cli.inspection.summary import file_type_name, quantisation_mix
        from zigllm_cli.simd.isa import current

        mix = quantisation_mix(file)
        return cls(
            model=str(file.path),
            type=f"{file.architecture} {file_type_name(file, mix) or 'unknown'}",
            size=sum(share.bytes for share in mix),
            parameters=sum(share.parameters for share in mix),
            kv_type=kv_type,
            cpu=cpu_name(),
            isa=current().name,
            version=__version__,
        )


def cpu_name() -> str:
    """What the CPU calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def show_results(subject: Subject, results: Sequence[Result], form: str) -> None:
    """On stdout; `form` is "table", "md", "csv" or "json"."""
    if form == "json":
        print_json(
            {"schema": SCHEMA, **asdict(subject), "results": [as_record(r) for r in results]}
        )
    elif form == "csv":
        records = [{**asdict(subject), **as_record(result)} for result in results]
        for record in records:
            record["samples"] = " ".join(f"{rate:.3f}" for rate in record["samples"])
        writer = csv.DictWriter(sys.stdout, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    else:
        show_rows(*_rows(subject, results), form)


def as_record(result: Result) -> dict[str, Any]:
    """One result for programs: rates are tokens per second."""
    test = result.test
    return {
        "test": test.name,
        "prompt": test.prompt,
        "generated": test.generated,
        "depth": test.depth,
        "threads": result.threads,
        "batch": test.batch,
        "mean": result.mean,
        "deviation": result.deviation,
        "best": result.best,
        "samples": list(result.rates),
    }


def _rows(subject: Subject, results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """llama-bench's columns; the batch only where there are several."""
    shows_batch = len({result.test.batch for result in results}) > 1
    header = ["model", "size", "params", "isa", ">threads", "test", ">tokens/s"]
    if shows_batch:
        header.insert(5, ">batch")
    rows = []
    for result in results:
        row = [
            printable(subject.type),
            human_bytes(subject.size),
            human_count(subject.parameters),
            subject.isa,
            str(result.threads),
            result.test.name,
            f"{result.mean:.2f} ± {result.deviation:.2f}",
        ]
        if shows_batch:
            row.insert(5, str(result.test.batch))
        rows.append(row)
    return header, rows


def show_rows(header: Sequence[str], rows: Sequence[Sequence[str]], form: str = "table") -> None:
    """A table, or with "md" Markdown; columns whose header begins with > are numbers."""
    if form == "md":
        names = [name.removeprefix(">") for name in header]
        rules = ["---:" if name.startswith(">") else "---" for name in header]
        for cells in (names, rules, *rows):
            write("| " + " | ".join(cells) + " |\n")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        justify = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row)
    show(stdout_console(), table)
