"""What `zigllm convert` does: read the source, decide types, write, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from zigllm_cli.errors import InputError, UsageError

if TYPE_CHECKING:
    from zigllm_cli.convert.conversion import Conversion, Options
    from zigllm_cli.convert.verify import Verification
    from zigllm_cli.quantization.decisions import Decisions
    from zigllm_cli.quantization.importance import Importance


BYTE_ORDERS = {"little": "<", "big": ">"}


@dataclass(frozen=True)
class Request:
    """What was asked for; fields are named like the options."""

    source: Path
    output: Path | None
    type_name: str
    options: Options
    imatrix: Path | None = None
    split_max_size: str | None = None
    byte_order: str = "little"
    merge_lora: Sequence[str] = ()
    dry_run: bool = False
    verify: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class Plan:
    """What would be written, and where."""

    conversion: Conversion
    decisions: Decisions
    importance: Importance | None
    path: Path


@dataclass(frozen=True)
class Result:
    """What was written."""

    plan: Plan
    paths: list[Path]
    seconds: float
    verification: Verification | None = None


def plan(request: Request) -> Plan:
    """Read the source's description and decide the type of every tensor."""
    from zigllm_cli.convert.source import read_source
    from zigllm_cli.convert.types import chosen_type, decide_types
    from zigllm_cli.quantization.importance import read_importance

    if request.byte_order not in BYTE_ORDERS:
        raise UsageError(f"--byte-order is little or big, not {request.byte_order!r}")
    source = found(request.source)
    conversion = read_source(source, request.options)
    if request.merge_lora:
        from zigllm_cli.convert.merge import merged

        conversion = merged(conversion, request.merge_lora, request.source)
    kind = chosen_type(conversion, request.type_name)
    importance = read_importance(request.imatrix) if request.imatrix else None
    decisions = decide_types(conversion, kind, has_importance=importance is not None)
    path = request.output or default_path(source, kind.name)
    return Plan(conversion, decisions, importance, path)


def found(source: Path) -> Path:
    """The source's path; a GGUF file may be named by an alias.

    Raises:
        InputError: there is neither a file nor an alias of this name.
    """
    from zigllm_cli.catalog import resolve

    if source.exists():
        return source
    try:
        return resolve(source)
    except InputError:
        raise InputError(
            f"there is no file or folder {source}, and no alias of this name in models.toml; "
            "give the path of what is to be converted"
        ) from None


def to_folder(request: Request) -> list[Path]:
    """Write a GGUF file as a Hugging Face folder; returns its files."""
    from zigllm_cli.commands._engine import CompileNotice
    from zigllm_cli.commands._output import progress_bar
    from zigllm_cli.convert.folder.write import folder_rows, write_folder
    from zigllm_cli.convert.source import check_model, read_source
    from zigllm_cli.engine.threads import default_threads

    _check_for_folder(request)
    source = found(request.source)
    conversion = read_source(source, request.options)
    if not conversion.is_gguf:
        raise UsageError(f"--to-folder converts GGUF files; {source} is a {conversion.source}")
    check_model(conversion)
    folder = request.output or source.resolve().with_name(f"{source.stem}-hf")
    rows = folder_rows(conversion, request.type_name)
    with progress_bar("converting", sum(row.nbytes for row in rows)) as progress:
        return write_folder(
            conversion,
            folder,
            rows,
            threads=request.threads or default_threads(),
            compiling=CompileNotice(),
            progress=progress,
        )


def _check_for_folder(request: Request) -> None:
    """Whether nothing was asked for that folders cannot have.

    Raises:
        UsageError: something was.
    """
    given = {
        "--merge-lora": request.merge_lora,
        "--imatrix": request.imatrix,
        "--split-max-size": request.split_max_size,
        "--byte-order": request.byte_order != "little",
        "--dry-run": request.dry_run,
        "--verify": request.verify,
    }
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} does not go with --to-folder; leave it out")


def default_path(source: Path, type_name: str) -> Path:
    """SOURCE-TYPE.gguf beside the source."""
    source = source.resolve()
    stem = source.name if source.is_dir() else source.stem
    return source.with_name(f"{stem}-{type_name}.gguf")


def run(request: Request) -> Result:
    """Write the new file, and read it back where that was asked for."""
    from zigllm_cli.commands._engine import CompileNotice
    from zigllm_cli.commands._output import progress_bar
    from zigllm_cli.commands._quantize_run import parse_size
    from zigllm_cli.convert.verify import verify
    from zigllm_cli.convert.write import write_conversion
    from zigllm_cli.engine.threads import default_threads

    planned = plan(request)
    limit = request.split_max_size
    started = perf_counter()
    with progress_bar("converting", planned.decisions.nbytes) as progress:
        paths = write_conversion(
            planned.conversion,
            planned.path,
            planned.decisions,
            importance=planned.importance,
            threads=request.threads or default_threads(),
            split_max_bytes=parse_size(limit, "--split-max-size") if limit else None,
            order=BYTE_ORDERS[request.byte_order],
            compiling=CompileNotice(),
            progress=progress,
        )
    seconds = perf_counter() - started
    checked = None
    if request.verify:
        with progress_bar("verifying", planned.decisions.nbytes) as progress:
            checked = verify(planned.conversion, planned.decisions, paths[0], progress)
    return Result(planned, paths, seconds, checked)
