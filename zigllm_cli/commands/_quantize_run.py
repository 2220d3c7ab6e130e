"""What `zigllm quantize` does: decide, write, measure; and its results."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from zigllm_cli.atomic import check_output
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.commands._engine import CompileNotice
    from zigllm_cli.gguf import GGUFFile
    from zigllm_cli.quantization.advice import Advice
    from zigllm_cli.quantization.budget import Choice
    from zigllm_cli.quantization.decisions import Decisions, Wishes
    from zigllm_cli.quantization.importance import Importance
    from zigllm_cli.quantization.loss import Loss

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
MOST_BITS = 64
"""Of a weight: those of F64."""

STEM = re.compile(r"[-.](f32|f16|bf16|fp16|fp32)$", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """What was asked for; fields are named like the options."""

    model: str
    output: str | None
    type_name: str | None
    wishes: Wishes
    imatrix: Path | None = None
    importance: Importance | None = None
    target_size: str | None = None
    target_bpw: float | None = None
    threads: int | None = None
    report: bool = False

    @property
    def imatrix_name(self) -> str:
        """What the metadata says of where importance came from."""
        return self.imatrix.name if self.imatrix else ""


@dataclass(frozen=True)
class Plan:
    """A table of decisions, and what they cost.

    Attributes:
        choice: why, where a size was given instead of a type.
    """

    file: GGUFFile
    decisions: Decisions
    importance: Importance | None
    choice: Choice | None = None


@dataclass(frozen=True)
class Result:
    """What was written."""

    plan: Plan
    paths: list[Path]
    seconds: float
    losses: dict[str, Loss] = field(default_factory=dict)


def plan(request: Request) -> Plan:
    """Decide what will become of every tensor; weights are read only for a size."""
    from zigllm_cli.catalog import resolve
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.quantization.decisions import decide
    from zigllm_cli.quantization.file_types import file_type

    targets = [request.type_name, request.target_size, request.target_bpw]
    if sum(target is not None for target in targets) != 1:
        raise UsageError("give one of TYPE (--list-types shows all), --target-size, --target-bpw")
    bits = request.target_bpw
    if bits is not None and not 0 < bits <= MOST_BITS:
        raise UsageError(f"--target-bpw {bits:g} must be above 0, at most {MOST_BITS}")
    file = open_gguf(resolve(request.model))
    importance = request.importance
    if request.type_name is None:
        return _by_budget(file, request)
    kind = file_type(request.type_name)
    decisions = decide(file, kind, request.wishes, has_importance=importance is not None)
    return Plan(file, decisions, importance)


def _by_budget(file: GGUFFile, request: Request) -> Plan:
    from zigllm_cli.commands._output import progress_bar
    from zigllm_cli.quantization.budget import choose
    from zigllm_cli.quantization.measure import work

    size = parse_size(request.target_size) if request.target_size else None
    total = work(file)
    with progress_bar("measuring errors", total) as progress:
        choice = choose(
            file,
            request.wishes,
            request.importance,
            importance_file=request.imatrix_name,
            size=size,
            bits_per_weight=request.target_bpw,
            threads=_threads(request),
            compiling=_notice(),
            progress=progress,
        )
    return Plan(file, choice.decisions, request.importance, choice)


def run(request: Request) -> Result:
    """Write the new file."""
    from zigllm_cli.catalog import resolve
    from zigllm_cli.commands._output import progress_bar
    from zigllm_cli.quantization.write import write_quantized

    if request.output is not None:
        check_output(request.output, [resolve(request.model)])
    planned = plan(request)
    path = output_path(request, planned)
    losses: dict[str, Loss] | None = {} if request.report else None
    started = perf_counter()
    with progress_bar("quantizing", planned.decisions.nbytes) as progress:
        paths = write_quantized(
            planned.file,
            path,
            planned.decisions,
            planned.importance,
            importance_file=request.imatrix_name,
            threads=_threads(request),
            keep_split=request.wishes.keep_split,
            losses=losses,
            compiling=_notice(),
            progress=progress,
        )
    return Result(planned, paths, perf_counter() - started, losses or {})


def advise_types(request: Request) -> list[Advice]:
    """Size and expected error of every file type, and whether this machine could run it."""
    from zigllm_cli.catalog import resolve
    from zigllm_cli.commands._output import progress_bar
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.quantization.advice import advise
    from zigllm_cli.quantization.measure import work

    file = open_gguf(resolve(request.model))
    wishes = replace(request.wishes, allow_requantize=True)
    with progress_bar("measuring errors", work(file)) as progress:
        return advise(
            file,
            wishes,
            request.importance,
            threads=_threads(request),
            compiling=_notice(),
            progress=progress,
        )


def _threads(request: Request) -> int:
    from zigllm_cli.engine.threads import default_threads

    return request.threads or default_threads()


def _notice() -> CompileNotice:
    from zigllm_cli.commands._engine import CompileNotice

    return CompileNotice()


def output_path(request: Request, planned: Plan) -> Path:
    """The file to write: the one named, or MODEL-TYPE.gguf beside the model."""
    if request.output is not None:
        return Path(request.output)
    source = planned.file.path
    from zigllm_cli.gguf.model_file import SHARD_NAME

    match = SHARD_NAME.fullmatch(source.name)
    stem = match["stem"] if match else source.name.removesuffix(".gguf")
    return source.with_name(f"{STEM.sub('', stem)}-{planned.decisions.kind.name}.gguf")


def parse_size(text: str, option: str = "--target-size") -> int:
    """Bytes: 600M, 4.5G (powers of ten), 4GiB (of two) or a plain number.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?I?)B?", text.strip().upper())
    if not match or match[2] not in UNITS:
        raise UsageError(f"{option} {text!r} is not a size such as 600M, 4.5G or 4GiB")
    return int(float(match[1]) * UNITS[match[2]])
