"""Everything that is wrong with a model file, as one list of findings.

    report = check(open_gguf("model.gguf"))
    report.problems, report.findings

The file has been opened, so its header is sound and every tensor lies inside it. What comes here
on top: whether keys and tensors are those of the architecture, whether values and scales are
finite, whether the tokenizer can work, and what lies in the file that no one asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite

from zigllm_cli.errors import ZigllmError
from zigllm_cli.gguf import Array, GGUFFile
from zigllm_cli.gguf.reader import Header, align
from zigllm_cli.inspection.check_tokenizer import check_tokenizer
from zigllm_cli.inspection.check_values import check_values
from zigllm_cli.inspection.filetypes import FILE_TYPES
from zigllm_cli.inspection.findings import PROBLEM, Finding, note, problem
from zigllm_cli.inspection.hyper import MAX_LAYERS, Hyperparameters
from zigllm_cli.inspection.structure import check_keys, check_tensors
from zigllm_cli.inspection.summary import quantisation_mix

Progress = Callable[[int], None]

NOT_MODELS = ("imatrix", "adapter", "controlvector", "mmproj")
"""`general.type` of files that are not run on their own."""


@dataclass(frozen=True)
class Report:
    """All findings about one file.

    Attributes:
        path: of the file, or of its first shard.
        tensors, bytes: what was looked at.
    """

    path: str
    problems: int
    notes: int
    tensors: int
    bytes: int
    findings: tuple[Finding, ...]


def check(file: GGUFFile, progress: Progress | None = None) -> Report:
    """Read the whole file, values included; `progress` is told bytes of tensors."""
    findings = [
        *_check_architecture(file),
        *(_check_adapter(file) if is_adapter(file) else _check_model(file)),
        *_check_file_type(file),
        *check_values(file, progress),
        *_check_gaps(file),
    ]
    size = sum(tensor.nbytes for tensor in file.tensors.values())
    return report(str(file.path), findings, len(file.tensors), size)


def is_adapter(file: GGUFFile) -> bool:
    """Whether the file changes a model instead of being one."""
    return file.metadata.get("general.type") == "adapter"


def _check_model(file: GGUFFile) -> Iterator[Finding]:
    yield from check_keys(file)
    yield from _check_numbers(file)
    yield from check_tokenizer(file)
    yield from check_tensors(file)


def _check_adapter(file: GGUFFile) -> Iterator[Finding]:
    from zigllm_cli.models.adapters import check_adapter  # reads weights, so imports NumPy

    try:
        check_adapter(file)
    except ZigllmError as error:
        yield problem("tensors", str(error).removeprefix(f"{file.path}: "))


def report(path: str, findings: list[Finding], tensors: int = 0, size: int = 0) -> Report:
    """The findings, problems first, with their numbers."""
    ordered = sorted(findings, key=lambda finding: finding.severity != PROBLEM)
    problems = sum(finding.severity == PROBLEM for finding in findings)
    return Report(path, problems, len(findings) - problems, tensors, size, tuple(ordered))


def unreadable(path: str, error: ZigllmError) -> Report:
    """The report about a file that cannot even be opened."""
    return report(path, [problem("file", str(error).removeprefix(f"{path}: "))])


def _check_architecture(file: GGUFFile) -> Iterator[Finding]:
    value = file.metadata.get("general.architecture")
    kind = file.metadata.get("general.type")
    if value is None and kind in NOT_MODELS:
        yield note("metadata", f"an {kind} file, not a model that can be run")
    elif not isinstance(value, str) or not value:
        text = "is missing" if value is None else f"is {value!r:.40}, not a name"
        yield problem("metadata", f"general.architecture {text}", "general.architecture")


def _check_numbers(file: GGUFFile) -> Iterator[Finding]:
    """Values that contradict each other or cannot be."""
    for key, field in file.metadata.fields.items():
        values = field.value if isinstance(field.value, Array) else [field.value]
        if isinstance(field.value, Array) and field.value.element_type.name not in FLOATS:
            continue
        bad = sum(1 for value in values if isinstance(value, float) and not isfinite(value))
        if bad:
            yield problem("metadata", f"{key} holds {bad} value(s) that are not finite", key)
    hyper = Hyperparameters(file)
    prefix = file.architecture
    blocks = hyper.number("block_count", 1)
    if not 0 < blocks <= MAX_LAYERS:
        yield problem("metadata", f"{prefix}.block_count is {blocks}", f"{prefix}.block_count")
    for heads, kv in set(zip(hyper.heads(), hyper.kv_heads(), strict=True)):
        if heads > 0 and kv > 0 and heads % kv:
            key = f"{prefix}.attention.head_count_kv"
            yield problem("metadata", f"{key} is {kv}, which does not divide {heads} heads", key)
    width, heads = hyper.number("embedding_length"), hyper.number("attention.head_count")
    if heads > 0 and width % heads and not hyper.has("attention.key_length"):
        key = f"{prefix}.attention.head_count"
        yield problem("metadata", f"{key} is {heads}, which does not divide the width {width}", key)
    used, experts = hyper.number("expert_used_count"), hyper.number("expert_count")
    if experts > 0 and not 0 < used <= experts:
        key = f"{prefix}.expert_used_count"
        yield problem("metadata", f"{key} is {used} of {experts} experts", key)


FLOATS = ("FLOAT32", "FLOAT64")


def _check_file_type(file: GGUFFile) -> Iterator[Finding]:
    key = "general.file_type"
    number = file.metadata.get(key)
    mix = quantisation_mix(file)
    if number is None or not mix:
        return
    if not isinstance(number, int) or number not in FILE_TYPES:
        yield note("metadata", f"{key} is {number!r:.40}, which is no known type", key)
        return
    name, main = FILE_TYPES[number]
    if main not in {share.type for share in mix}:
        text = f"{key} says {name}, but no tensor is {main} (mostly {mix[0].type})"
        yield note("metadata", text, key)


def _check_gaps(file: GGUFFile) -> Iterator[Finding]:
    """Bytes that belong to nothing: between tensors and behind the last."""
    for header, path in zip(file.headers, file.paths, strict=True):
        where = f"{path.name}: " if len(file.paths) > 1 else ""
        for finding in _gaps(header):
            yield note("file", where + finding)


def _gaps(header: Header) -> Iterator[str]:
    size, dirty, spare = header.layout.size, 0, 0
    position = header.infos_stop
    records = sorted(header.tensors.values(), key=lambda record: record[3])
    for _, _, _, offset, nbytes in records:
        start = header.data_start + offset
        dirty += _is_dirty(header, position, start)
        spare += max(start - align(position, header.alignment), 0)
        position = max(position, start + nbytes)
    end = min(align(position, header.alignment), size)
    dirty += _is_dirty(header, position, end)
    if dirty:
        yield f"the padding in {dirty} place(s) is not zero"
    if spare:
        yield f"{spare} bytes between the tensors belong to none"
    if size > end:
        yield f"{size - end} bytes behind the last tensor belong to nothing"


def _is_dirty(header: Header, start: int, stop: int) -> bool:
    """Whether bytes other than zero lie there, within the reach of ordinary padding."""
    stop = min(stop, align(start, header.alignment), header.layout.size, start + (1 << 20))
    return any(header.layout.buffer[start:stop])
