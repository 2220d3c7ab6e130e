"""Multiple-choice tests: running score on stderr, the result on stdout."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from zigllm_cli.commands._engine import EngineRequest, open_model
from zigllm_cli.commands._output import print_json, printable, write
from zigllm_cli.commands._perplexity_progress import Line, duration
from zigllm_cli.commands._perplexity_report import write_document
from zigllm_cli.commands._perplexity_rules import Form
from zigllm_cli.errors import UsageError
from zigllm_cli.evaluate.choice_draw import draw
from zigllm_cli.evaluate.choice_files import read_choices, read_file
from zigllm_cli.evaluate.choices import Examiner, Marks, question

SCHEMA = "zigllm.choices/1"


def run_choices(
    kind: str,
    request: EngineRequest,
    path: Path | None,
    count: int | None,
    ctx: int | None,
    form: Form,
) -> None:
    """Ask all questions of a file, or `count` of them, and show the score."""
    model = open_model(replace(request, ctx=ctx))
    if path is not None and str(path) != "-":
        tasks = read_file(kind, path)
    elif sys.stdin.isatty():
        raise UsageError(f"no tasks: name a file, as in zigllm perplexity --{kind} FILE")
    else:
        tasks = read_choices(kind, sys.stdin.buffer.read(), "standard input")
    chosen = draw(kind, tasks, count)
    questions = [question(task, model.tokenizer) for task in chosen]
    examiner, marks, line = Examiner(model, questions, ctx or None), Marks(), Line()
    started = perf_counter()
    results = []
    for answer in examiner.answers(questions):
        marks.add(answer)
        results.append({"choice": answer.choice, "right": answer.is_right, "means": answer.means})
        seconds = perf_counter() - started
        left = seconds / marks.count * (len(questions) - marks.count)
        line.show(
            f"task {marks.count} of {len(questions)} · {100 * marks.accuracy[0]:.2f} % right · "
            f"{duration(left)} left"
        )
    line.close()
    examiner.runner.close()
    document = {
        "schema": SCHEMA,
        "model": str(model.file.path),
        "kind": kind,
        "tasks": marks.count,
        "accuracy": marks.accuracy[0],
        "accuracy_error": marks.accuracy[1],
        "interval": marks.interval,
        "accuracy_by_sum": marks.right_by_sum / marks.count,
        "chance": marks.chance / marks.count,
        "answers": results,
    }
    if form.output is not None:
        write_document(form.output, document)
    if form.json:
        print_json(document)
        return
    low, high = marks.interval
    rows = [
        ("model", printable(str(model.file.path))),
        ("tasks", f"{marks.count} of {len(tasks)}"),
        ("accuracy", f"{100 * marks.accuracy[0]:.4f} ± {100 * marks.accuracy[1]:.4f} %"),
        ("95 % interval", f"{100 * low:.4f} to {100 * high:.4f} %"),
        ("by sum, not mean", f"{100 * marks.right_by_sum / marks.count:.4f} %"),
        ("random chance", f"{100 * marks.chance / marks.count:.4f} %"),
    ]
    for name, value in rows:
        write(f"{name:<18}{value}\n")
