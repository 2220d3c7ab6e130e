"""Mutation fuzzer of the GGUF reader: damaged headers must be refused politely, quickly, cheaply.

    python scripts/fuzz_gguf.py --count 200000 --seed 1 --jobs 2 [SEED.gguf ...]

Every input is the header of a sound file with some bytes changed, written as a sparse file with
the size the sound one had, opened, and used: all metadata decoded, all tensors touched. Forbidden
are any exception but `ZigllmError`, more time than `time_limit` allows, and more memory than
`MEMORY_LIMIT`; such inputs are kept in `--save`. Input number N depends on the seed, N and the
list of files alone: `--only N` runs it again. Knows the reader, no tokenizer and no model.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from zigllm_cli.errors import ZigllmError
from zigllm_cli.gguf import Array, GGUFFile, ValueType, open_gguf, tensor_type
from zigllm_cli.gguf.edit import copy_gguf
from zigllm_cli.gguf.entry import Entry, TypedList
from zigllm_cli.gguf.writer import TensorPlan, write_gguf

ROOT = Path(__file__).resolve().parents[1]
KIT = Path(os.environ.get("ZIGLLM_KIT", ROOT.parent / "shared" / "kit"))

MEMORY_LIMIT = 512 << 20
"""Bytes of address space a worker may take beyond what it has after its start."""
CHUNK = 500
KEPT_ITEMS = 24
WHOLE_FILE_EVERY = 500
"""Most inputs are made from files whose vocabularies were cut; one in so many from a whole one."""

INTERESTING = sorted(
    {0, 1, 2, 7, 8, 9, 12, 13, 16, 24, 31, 32, 33, 255, 256, 4096, 65535, 65536}
    | {2**n + d for n in (31, 32, 40, 61, 62, 63) for d in (-1, 0, 1)}
    | {2**64 - 2, 2**64 - 1, 2**64 - 8, 2**64 - 16, 2**64 - 32}
)


@dataclass(frozen=True)
class Seed:
    """A sound file: the bytes up to its tensors, its size, and where its numbers and arrays lie."""

    name: str
    header: bytes
    size: int
    numbers: list[int]
    arrays: list[int]


@dataclass
class Report:
    """What became of a number of inputs."""

    count: int = 0
    accepted: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int, int] = (0.0, -1, 0)
    """seconds, number of the input, its size"""
    peak_memory: int = 0
    offences: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.count += other.count
        self.accepted += other.accepted
        self.classes += other.classes
        self.messages += other.messages
        self.slowest = max(self.slowest, other.slowest)
        self.peak_memory = max(self.peak_memory, other.peak_memory)
        self.offences += other.offences


def time_limit(size: int) -> float:
    """Seconds for opening and decoding `size` bytes; dearest are empty arrays, 12 bytes each."""
    return 0.1 + 500e-9 * size


# --- seeds ---


def load_seeds(paths: Iterable[Path], folder: Path) -> tuple[list[Seed], list[Seed]]:
    """Seeds with shortened arrays for all of `paths` and some made here, and the whole files."""
    small, whole = [], []
    for number, path in enumerate(paths):
        file = open_gguf(path)
        whole.append(_seed(path.name, file))
        shortened = folder / f"{number}.gguf"
        copy_gguf(file, shortened, [_shortened(file, key) for key in file.metadata])
        small.append(_seed(path.name, open_gguf(shortened)))
        shortened.unlink()
    for order in "<>":
        for version in (2, 3):
            path = folder / "own.gguf"
            write_gguf(path, _entries(), _tensors(order), version=version, order=order)
            small.append(_seed(f"own{order}{version}", open_gguf(path)))
    return small, whole


def _shortened(file: GGUFFile, key: str) -> Entry:
    field, value = file.metadata.fields[key], file.metadata[key]
    if isinstance(value, Array) and len(value) > KEPT_ITEMS:
        cut = TypedList(value.element_type, value[:KEPT_ITEMS])
        return Entry.make(key, field.type, cut)
    return Entry.copy(field, file.headers[0].layout)


def _entries() -> list[Entry]:
    """One entry of every type, a list of every type, and nested lists."""
    entries = [Entry.make("general.alignment", ValueType.UINT32, 64)]
    lists = []
    for kind in ValueType:
        if kind is ValueType.ARRAY:
            continue
        value: Any = {ValueType.STRING: "text", ValueType.BOOL: True}.get(kind, 1)
        entries.append(Entry.make(kind.name.lower(), kind, value))
        lists.append(TypedList(kind, [value] * 3))
        entries.append(Entry.make(f"list.{kind.name}", ValueType.ARRAY, lists[-1]))
    nested = TypedList(ValueType.ARRAY, lists)
    for depth in range(3):
        entries.append(Entry.make(f"nested.{depth}", ValueType.ARRAY, nested))
        nested = TypedList(ValueType.ARRAY, [nested, nested])
    return entries


def _tensors(order: str) -> list[TensorPlan]:
    rows = (("F32", (3, 2, 2, 2), 96), ("Q4_0", (32, 3), 54), ("Q6_K", (256,), 210), ("I8", (), 1))
    return [
        TensorPlan(name, shape, tensor_type(name), partial(list, [bytes(size)]), order)
        for name, shape, size in rows
    ]


def _seed(name: str, file: GGUFFile) -> Seed:
    header = file.headers[0]
    stop = min(header.data_start, header.layout.size)
    numbers, arrays = [4, 8, 16], [24]
    for item in header.fields.values():
        key_start = item.start - 12 - len(item.key.encode(errors="surrogateescape"))
        numbers += [key_start, item.start - 4, item.start]
        if isinstance(item.value, Array):
            numbers += [item.start + 4, item.start + 12]
            arrays.append(item.start)
    position = max((item.stop for item in header.fields.values()), default=24)
    for tensor_name, shape, *_ in header.tensors.values():
        after = position + 8 + len(tensor_name.encode(errors="surrogateescape"))
        tail = [after, *(after + 4 + 8 * i for i in range(len(shape)))]
        type_start = after + 4 + 8 * len(shape)
        numbers += [position, *tail, type_start, type_start + 4]
        position = type_start + 12
    return Seed(name, header.layout.buffer[:stop], header.layout.size, numbers, arrays)


# --- mutations ---


def make_input(small: list[Seed], whole: list[Seed], seed: int, number: int) -> tuple[bytes, int]:
    """The bytes that input `number` begins with, and the size of the file they are put in."""
    rng = random.Random(f"{seed}:{number}")
    seeds = whole if whole and number % WHOLE_FILE_EVERY == 0 else small
    base, other = rng.choice(seeds), rng.choice(small)
    data = bytearray(base.header)
    for _ in range(rng.choice((1, 1, 1, 1, 1, 2, 3, 6))):
        rng.choice(MUTATIONS)(rng, data, base, other)
    size = base.size + len(data) - len(base.header)
    if rng.random() < 0.07:
        size = rng.choice((rng.randint(0, size), size + rng.randint(0, 4 << 20)))
    return bytes(data[:size]), size


def _somewhere(rng: random.Random, data: bytearray, base: Seed) -> int:
    """An offset, every second time that of a number (a length, a count, a type, ...)."""
    if rng.random() < 0.5:
        return min(rng.choice(base.numbers), len(data))
    return rng.randint(0, len(data))


def _change_byte(rng: random.Random, data: bytearray, base: Seed, other: Seed) -> None:
    if data:
        place = _somewhere(rng, data, base) % len(data)
        data[place] = rng.choice((data[place] ^ (1 << rng.randrange(8)), rng.randrange(256)))


def _set_number(rng: random.Random, data: bytearray, base: Seed, other: Seed) -> None:
    """Put a number that is often fatal anywhere, or move one that is there."""
    size = rng.choice((1, 2, 4, 4, 8, 8, 8))
    start = _somewhere(rng, data, base)
    old = int.from_bytes(data[start : start + size], "little")
    near = old + rng.choice((-64, -32, -8, -2, -1, 1, 2, 8, 32, 64))
    value = rng.choice((rng.choice(INTERESTING), near, near, len(data), base.size)) % 256**size
    data[start : start + size] = value.to_bytes(size, rng.choice(("little", "little", "big")))


def _remove_span(rng: random.Random, data: bytearray, base: Seed, other: Seed) -> None:
    """Remove some bytes, seldom all that follow."""
    start = _somewhere(rng, data, base)
    long = rng.choice((200, 200, 200, 1 << 30))
    del data[start : start + rng.choice((1, 4, 8, 12, 24, rng.randint(1, long)))]


def _repeat_span(rng: random.Random, data: bytearray, base: Seed, other: Seed) -> None:
    start, stop = sorted((_somewhere(rng, data, base), _somewhere(rng, data, base)))
    stop = min(stop, start + 4096)
    data[stop:stop] = data[start:stop] * rng.choice((1, 1, 2, 50))


def _splice(rng: random.Random, data: bytearray, base: Seed, other: Seed) -> None:
    """Put in noise or a span of another file, or go on with that file."""
    start, source = _somewhere(rng, data, base), rng.choice(other.numbers)
    length = rng.choice((1, 4, 8, rng.randint(1, 500), 1 << 30))
    foreign = other.header[source : source + length]
    span = rng.choice((foreign, rng.randbytes(len(foreign) % 100)))
    data[start : start + rng.choice((0, len(span)))] = span


def _nest(rng: random.Random, data: bytearray, base: Seed, other: Seed) -> None:
    """Put an array, or what a mutation made of it, into arrays: deep, or with too few items."""
    order = rng.choice("<<>")
    head = struct.pack(order + "IQ", ValueType.ARRAY, rng.choice((1, 1, 1, 2, 100)))
    start = rng.choice(base.arrays)
    data[start:start] = head * rng.choice((1, 2, 14, 15, 16, 1000))


Mutation = Callable[[random.Random, bytearray, Seed, Seed], None]
MUTATIONS: tuple[Mutation, ...] = (
    _change_byte,
    _change_byte,
    _set_number,
    _set_number,
    _set_number,
    _remove_span,
    _repeat_span,
    _splice,
    _splice,
    _nest,
)


# --- running ---


def exercise(file: GGUFFile) -> None:
    """Use everything the reader answers for."""
    for value in file.metadata.values():
        _decode(value)
    for tensor in file.tensors.values():
        data = tensor.data
        if len(data) != tensor.nbytes or tensor.rows * tensor.row_length != tensor.n_elements:
            raise AssertionError(f"{tensor.name}: {len(data)} of {tensor.nbytes} bytes")
        if data:
            _ = data[0], data[-1]
    _ = file.architecture, file.size, file.byte_order


def _decode(value: Any) -> None:
    if not isinstance(value, Array):
        return
    items = value.tolist()
    if len(items) != len(value):
        raise AssertionError(f"{value!r} decodes to {len(items)} values")
    if value.element_type is ValueType.ARRAY:
        for item in items:
            _decode(item)


def run_input(path: Path, data: bytes, size: int, number: int, report: Report) -> str | None:
    """Write one input to `path`, open it, use it; returns what is wrong with the reader, if so."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    os.truncate(path, size)
    problem = None
    start = time.thread_time()
    try:
        exercise(open_gguf(path))
        report.accepted += 1
    except ZigllmError as error:
        report.classes[type(error).__name__] += 1
        report.messages[_kind_of(str(error), path)] += 1
    except Exception:
        problem = traceback.format_exc(limit=-3)
    seconds = time.thread_time() - start
    report.count += 1
    report.slowest = max(report.slowest, (seconds, number, size))
    if problem is None and seconds > time_limit(size):
        problem = f"took {seconds * 1000:.0f} ms for {size} bytes"
    return problem


def _kind_of(message: str, path: Path) -> str:
    """The message without the values in it, to count the ways of being refused."""
    message = message.replace(f"{path}", "FILE")
    message = re.sub(r"b?'.*'|b?\".*\"", "X", message)
    return re.sub(r"-?\d+", "N", message)[:70]


def run(
    small: list[Seed], whole: list[Seed], seed: int, numbers: Iterable[int], save: Path
) -> Report:
    """Run these inputs in this process; offending ones are kept in `save`."""
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.gguf"
        for number in numbers:
            data, size = make_input(small, whole, seed, number)
            problem = run_input(path, data, size, number, report)
            if problem is not None:
                save.mkdir(parents=True, exist_ok=True)
                kept = save / f"seed{seed}-{number}.gguf"
                path.replace(kept)
                report.offences.append(f"input {number} ({kept}): {problem}")
    report.peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return report


_worker: dict[str, Any] = {}


def _start_worker(small: list[Seed], whole: list[Seed], seed: int, save: Path) -> None:
    _worker.update(small=small, whole=whole, seed=seed, save=save)
    status = Path("/proc/self/statm")
    if status.exists():
        used = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_LIMIT,) * 2)


def _run_chunk(numbers: range) -> Report:
    return run(_worker["small"], _worker["whole"], _worker["seed"], numbers, _worker["save"])


def run_parallel(arguments: argparse.Namespace, seeds: tuple[list[Seed], list[Seed]]) -> Report:
    """Run all inputs in `--jobs` processes of limited memory."""
    every = range(arguments.count)
    chunks = [every[start : start + CHUNK] for start in every[::CHUNK]]
    report = Report()
    context = multiprocessing.get_context("spawn")
    values = (*seeds, arguments.seed, arguments.save)
    with context.Pool(arguments.jobs, _start_worker, values) as pool:
        for part in pool.imap_unordered(_run_chunk, chunks):
            report.add(part)
    return report


def show(report: Report, arguments: argparse.Namespace, seconds: float) -> None:
    """Print the summary."""
    time_used, number, size = report.slowest
    print(f"seed {arguments.seed}: {report.count} inputs in {seconds:.0f} s")
    print(f"accepted {report.accepted}, refused {sum(report.classes.values())}")
    for name, count in report.classes.most_common():
        print(f"  {name:18} {count}")
    for message, count in report.messages.most_common(arguments.messages):
        print(f"    {count:7} {message}")
    print(f"slowest: input {number}, {time_used * 1000:.1f} ms for {size} bytes")
    print(
        f"peak memory of a worker: {report.peak_memory >> 20} MiB; {len(report.offences)} offences"
    )
    print(*report.offences[:20], sep="\n", end="")


def main() -> int:
    """Read the arguments, run, report; 1 if something was forbidden."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="sound files to damage")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--save", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--messages", type=int, default=0, help="show so many ways of refusal")
    parser.add_argument("--only", type=int, help="run this input alone, in this process")
    arguments = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files or sorted(KIT.glob("[mrv]*/**/*.gguf"))
        seeds = load_seeds(files, Path(folder))
    if arguments.only is None:
        report = run_parallel(arguments, seeds)
    else:
        report = run(*seeds, arguments.seed, [arguments.only], arguments.save)
        arguments.messages = 1
    show(report, arguments, time.monotonic() - start)
    return 1 if report.offences else 0


if __name__ == "__main__":
    sys.exit(main())
