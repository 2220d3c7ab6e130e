"""`zigllm bench`: how fast a model runs here, and why."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from zigllm_cli.commands._engine import (
    CompileNotice,
    EngineRequest,
    KvTypeOption,
    LoraOption,
    open_model,
)
from zigllm_cli.commands._options import JsonOption, ModelOption
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.commands._bench_ablate import Factor
    from zigllm_cli.commands._bench_measure import Test
    from zigllm_cli.engine.runner import Runner
    from zigllm_cli.gguf import GGUFFile

FORM = "Form of the results"
WHY = "Why it is as fast as it is"

_RANGE = re.compile(r"(\d+)-(\d+)(?:([+*])(\d+))?")


def bench(
    model: ModelOption = None,
    prompt: Annotated[
        str, typer.Option("--n-prompt", "-p", metavar="N,...", help="Tokens of prompts; 0: none.")
    ] = "512",
    generated: Annotated[
        str,
        typer.Option(
            "--n-gen", "-n", metavar="N,...", help="Tokens to decode one by one; 0: none."
        ),
    ] = "128",
    depth: Annotated[
        str,
        typer.Option("--n-depth", "-d", metavar="N,...", help="Tokens in the context before."),
    ] = "0",
    threads: Annotated[
        str | None,
        typer.Option(
            "--threads", "-t", metavar="N,...", help="Threads; default: what suits the machine."
        ),
    ] = None,
    batch: Annotated[
        str, typer.Option("--batch-size", "-b", metavar="N,...", help="Most tokens of a step.")
    ] = "512",
    repetitions: Annotated[
        int,
        typer.Option("--repetitions", "-r", metavar="N", min=1, help="Runs of each test."),
    ] = 5,
    kv_type: KvTypeOption = "f16",
    json: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.", rich_help_panel=FORM)] = False,
    md: Annotated[
        bool, typer.Option("--md", help="Print a Markdown table.", rich_help_panel=FORM)
    ] = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="The time of every operation, beside the machine's limits.",
            rich_help_panel=WHY,
        ),
    ] = False,
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate",
            help="Take away one idea after the other: what is each worth?",
            rich_help_panel=WHY,
        ),
    ] = False,
    lora: LoraOption = None,
) -> None:
    """Measure tokens per second, as llama-bench does: mean and deviation over several runs.

    Numbers of tokens and threads may be lists: 128,512 or 1-4 or 128-1024*2; every combination
    is measured.

    [bold]Examples[/bold]

      zigllm bench -m model.gguf

      zigllm bench -m model.gguf -p 0 -n 64 -d 0,2048 -t 1,2 --md

      zigllm bench -m model.gguf --profile
    """
    from zigllm_cli.commands import _bench_measure as measuring
    from zigllm_cli.commands import _bench_output as output

    form = _only(json=json, csv=csv, md=md) or "table"
    view = _only(profile=profile, ablate=ablate)
    if view and form == "csv":
        raise UsageError(f"--csv is for plain results, not for --{view}")
    tests = measuring.combine(
        numbers("-p", prompt),
        numbers("-n", generated),
        numbers("-d", depth),
        [None] if threads is None else numbers("-t", threads, least=1),
        numbers("-b", batch, least=1),
    )
    if not tests:
        raise UsageError("nothing to measure: give -p or -n a number above 0")
    file = open_model(EngineRequest(model, kv_type=kv_type, lora=lora or ())).file
    subject = output.Subject.of(file, kv_type)
    if view == "ablate":
        from zigllm_cli.commands._bench_ablate import show_factors

        show_factors(subject, _ablate(file, tests, repetitions, kv_type), form)
        return
    engines = measuring.engines(tests, lambda test, context: _engine(file, test, context, kv_type))
    if view == "profile":
        from zigllm_cli.commands import _bench_profile as profiling

        runs = [profiling.profile(runner, test, repetitions) for runner, test in engines]
        profiling.show_profiles(subject, runs, form)
        return
    notice = Notice(repetitions)
    results = [measuring.measure(runner, test, repetitions, notice) for runner, test in engines]
    notice.close()
    output.show_results(subject, results, form)


def _ablate(file: GGUFFile, tests: list[Test], repetitions: int, kv_type: str) -> list[Factor]:
    """The factors, by the first prompt, number of tokens, threads and batch of the lists."""
    from zigllm_cli.commands._bench_ablate import Bench, ablate

    first = tests[0]

    def make(file: GGUFFile, threads: int | None, context: int, sequences: int) -> Runner:
        test = replace(first, threads=threads or first.threads)
        return _engine(file, test, context, kv_type, sequences)

    prompt = next((test.prompt for test in tests if test.prompt), 512)
    generated = next((test.generated for test in tests if test.generated), 128)
    return ablate(Bench(file, make, prompt, generated, repetitions))


def _engine(file: GGUFFile, test: Test, context: int, kv_type: str, sequences: int = 1) -> Runner:
    from zigllm_cli.engine.runner import Runner

    return Runner(
        file,
        threads=test.threads,
        context=context,
        kv_type=kv_type,
        sequences=sequences,
        batch=test.batch,
        progress=CompileNotice(),
    )


class Notice:
    """In a terminal, which run of which test it is."""

    def __init__(self, repetitions: int) -> None:
        self._repetitions = repetitions
        self._is_shown = sys.stderr.isatty()

    def __call__(self, test: Test, number: int) -> None:
        state = f"run {number} of {self._repetitions}" if number else "warming up"
        self._write(f"{test.name}: {state}")

    def close(self) -> None:
        """Take the line away again."""
        self._write("")

    def _write(self, text: str) -> None:
        if self._is_shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


def _only(**chosen: bool) -> str:
    names = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(names) > 1:
        raise UsageError(f"--{names[0]} and --{names[1]} exclude each other; give one of them")
    return names[0] if names else ""


def numbers(option: str, text: str, *, least: int = 0) -> list[int]:
    """A list as llama-bench writes it: 1,2 or 1-4 or 1-9+2 or 128-1024*2.

    Raises:
        UsageError: it is none, or a number is below `least`.
    """
    found: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match:
            found += _range(int(match[1]), int(match[2]), match[3] or "+", int(match[4] or 1))
        elif part.strip().isdigit():
            found.append(int(part))
        else:
            raise UsageError(f"{option} {text!r} is not a list of numbers such as 128,512 or 1-4")
    if min(found, default=-1) < least:
        raise UsageError(f"{option} {text!r} has numbers below {least}")
    return list(dict.fromkeys(found))


def _range(first: int, last: int, sign: str, step: int) -> list[int]:
    grows = step > 0 if sign == "+" else step > 1 and first > 0
    values = []
    while grows and first <= last:
        values.append(first)
        first = first + step if sign == "+" else first * step
    return values
