"""What each idea of the engine is worth: take it away, measure again, print the factor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from zigllm_cli.commands._bench_blas import product_rates
from zigllm_cli.commands._bench_measure import Test, fill, measure, random_tokens
from zigllm_cli.commands._bench_output import SCHEMA, Subject, show_rows
from zigllm_cli.commands._output import print_json, talk
from zigllm_cli.engine.batch import Batch

if TYPE_CHECKING:
    from zigllm_cli.engine.runner import Runner
    from zigllm_cli.gguf import GGUFFile
    from zigllm_cli.gguf.model_file import Tensor

SEQUENCES = 8


@dataclass(frozen=True)
class Factor:
    """One idea: tokens per second with it and without, best of the repetitions."""

    without: str
    test: str
    with_it: float
    without_it: float

    @property
    def factor(self) -> float:
        return self.with_it / self.without_it


@dataclass(frozen=True)
class Bench:
    """A model and how to measure it.

    Attributes:
        make: opens an engine: (file, threads or None, context, sequences).
        prompt, generated: tokens of the two tests.
    """

    file: GGUFFile
    make: Callable[[GGUFFile, int | None, int, int], Runner]
    prompt: int
    generated: int
    repetitions: int

    @property
    def tests(self) -> tuple[Test, Test]:
        """The prompt and decoding."""
        return Test(self.prompt, 0, 0, None, 0), Test(0, self.generated, 0, None, 0)

    @property
    def context(self) -> int:
        """Tokens that the tests need."""
        return self.prompt + self.generated + 1

    @contextmanager
    def engine(
        self, file: GGUFFile | None = None, *, threads: int | None = None, sequences: int = 1
    ) -> Iterator[Runner]:
        """An engine for the time of a block."""
        runner = self.make(file or self.file, threads, self.context, sequences)
        try:
            yield runner
        finally:
            runner.close()

    def rates(self, file: GGUFFile | None = None, threads: int | None = None) -> dict[str, float]:
        """Best tokens per second of both tests."""
        with self.engine(file, threads=threads) as runner:
            results = [measure(runner, test, self.repetitions) for test in self.tests]
        return {result.test.name: result.best for result in results}


def ablate(bench: Bench) -> list[Factor]:
    """Every idea in turn; one that cannot be measured here is said on stderr."""
    base = bench.rates()
    factors = [*without_cache(bench), *without_batches(bench, base)]
    factors += compare("threads: one alone", base, bench.rates(threads=1))
    factors += compare("vector instructions: portable code", base, portable(bench))
    with f32_copy(bench.file) as copy:
        if copy is not None and copy is not bench.file:
            factors += compare("quantised weights: f32", base, bench.rates(copy))
        if copy is not None:
            factors += without_kernels(bench, copy)
    return factors


def compare(name: str, base: dict[str, float], other: dict[str, float]) -> list[Factor]:
    """A factor for each test that both have."""
    return [Factor(name, test, base[test], other[test]) for test in base if test in other]


def best_rate(tokens: int, run: Callable[[], object], repetitions: int) -> float:
    """Tokens per second, best of some runs behind one that warms up."""
    times = []
    for _ in range(repetitions + 1):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return tokens / min(times[1:])


def without_cache(bench: Bench) -> Iterator[Factor]:
    """One more token behind a prompt: by itself, or the whole text once again."""
    with bench.engine() as runner:
        tokens = random_tokens(runner, bench.prompt + 1)

        def again() -> None:
            runner.truncate(0, 0)
            runner.step(Batch.of(tokens, 0, 0))

        def once() -> None:
            if not runner.cache.recurrent:
                runner.truncate(0, bench.prompt)
            runner.step(Batch.of(tokens[-1:], runner.length(0), 0))

        fill(runner, bench.prompt)
        with_it = best_rate(1, once, bench.repetitions)
        without_it = best_rate(1, again, bench.repetitions)
    yield Factor("KV cache: everything again", f"tg1 @ d{bench.prompt}", with_it, without_it)


def without_batches(bench: Bench, base: dict[str, float]) -> Iterator[Factor]:
    """The prompt token by token; and eight sequences one after the other."""
    test = bench.tests[0]
    with bench.engine() as runner:
        tokens = random_tokens(runner, bench.prompt)

        def one_by_one() -> None:
            runner.truncate(0, 0)
            for position, token in enumerate(tokens):
                runner.step(Batch.of([token], position, 0))

        rate = best_rate(bench.prompt, one_by_one, 1)
    yield Factor("batches: prompt token by token", test.name, base[test.name], rate)
    with bench.engine(sequences=SEQUENCES) as runner:
        tokens = random_tokens(runner, bench.generated)
        together = partial(_decode, runner, tokens, together=True)
        alone = partial(_decode, runner, tokens, together=False)
        count = SEQUENCES * bench.generated
        yield Factor(
            f"batches: {SEQUENCES} sequences in turn",
            f"{SEQUENCES} x tg{bench.generated}",
            best_rate(count, together, bench.repetitions),
            best_rate(count, alone, 1),
        )


def _decode(runner: Runner, tokens: Sequence[int], *, together: bool) -> None:
    slots = list(range(SEQUENCES))
    for slot in slots:
        runner.truncate(slot, 0)
    for position, token in enumerate(tokens):
        groups = [slots] if together else [[slot] for slot in slots]
        for group in groups:
            n = len(group)
            runner.step(Batch([token] * n, [position] * n, group, list(range(n))))


def without_kernels(bench: Bench, floats: GGUFFile) -> Iterator[Factor]:
    """Products of f32 weights by the BLAS that NumPy carries, in place of the engine's own."""
    with bench.engine(floats) as runner:
        tokens = min(bench.prompt, runner.batch)
        ours, blas = product_rates(runner, tokens, bench.repetitions)
    yield Factor("kernels: f32 products by BLAS", f"pp{tokens} products", ours, blas)


def portable(bench: Bench) -> dict[str, float]:
    """Both tests in a process of its own, whose kernels know no vector instructions."""
    command = [
        *(sys.executable, "-m", "zigllm_cli", "bench", "-m", str(bench.file.path), "--json"),
        *("-p", str(bench.prompt), "-n", str(bench.generated), "-r", str(bench.repetitions)),
    ]
    environment = {**os.environ, "ZIGLLM_ISA": "portable"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        talk(f"portable code could not be measured: {done.stderr.strip()}")
        return {}
    return {result["test"]: result["best"] for result in json.loads(done.stdout)["results"]}


@contextmanager
def f32_copy(file: GGUFFile) -> Iterator[GGUFFile | None]:
    """The model with all weights as f32, in a temporary file; None if there is no room for it.

    A file that is f32 already is given back as it is.
    """
    from zigllm_cli.gguf import open_gguf, tensor_type
    from zigllm_cli.gguf.edit import edited_entries
    from zigllm_cli.gguf.writer import TensorPlan, write_gguf

    size = 4 * sum(tensor.n_elements for tensor in file.tensors.values())
    if all(tensor.type.name == "F32" for tensor in file.tensors.values()):
        yield file
        return
    with TemporaryDirectory(prefix="zigllm-") as folder:
        if shutil.disk_usage(folder).free < 2 * size:
            talk(f"weights as f32 were not measured: {size} bytes do not fit in {folder}")
            yield None
            return
        path = Path(folder) / "f32.gguf"
        kind = tensor_type("F32")
        plans = [
            TensorPlan(tensor.name, tensor.shape, kind, partial(_as_floats, tensor))
            for tensor in file.tensors.values()
        ]
        write_gguf(path, edited_entries(file, [], unset=[], type_name=None), plans)
        yield open_gguf(path)


def _as_floats(tensor: Tensor) -> Iterator[bytes]:
    """The values of a tensor, some rows at a time."""
    from zigllm_cli.quants import dequantize

    data = tensor.numpy()
    step = max((1 << 22) // tensor.row_length, 1)
    for start in range(0, len(data), step):
        values = dequantize(data[start : start + step], tensor.type.name, tensor.row_length)
        yield values.tobytes()


def show_factors(subject: Subject, factors: Sequence[Factor], form: str) -> None:
    """A table of what each idea is worth."""
    if form == "json":
        records = [{**asdict(each), "factor": each.factor} for each in factors]
        print_json({"schema": SCHEMA, **asdict(subject), "ablation": records})
        return
    rows = [
        [
            *(each.without, each.test, f"{each.with_it:.1f}", f"{each.without_it:.1f}"),
            f"{each.factor:.1f}x" if each.factor < 100 else f"{each.factor:.0f}x",
        ]
        for each in factors
    ]
    show_rows(["without", "test", ">with it", ">without", ">factor"], rows, form)
