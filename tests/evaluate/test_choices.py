"""Multiple choice: files, drawing, and scores against float64."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zigllm_cli.errors import InputError
from zigllm_cli.evaluate.choice_draw import _words, draw
from zigllm_cli.evaluate.choice_files import Choice, read_choices, read_file
from zigllm_cli.evaluate.choices import Examiner, Marks, question
from zigllm_cli.model import Model

HELLASWAG = (
    "hear me\n2\nspeak\nbefore\nproceed any further\nwe\nBefore we\n0\nproceed\na\nb\nc d e\n"
)
WINOGRANDE = '0,"hear _, before we proceed any further",me,we,2\n1,we hear _,x,yy,1\n'
JSON_LINES = (
    '{"prompt": "hear", "choices": ["me speak", "we"], "answer": 1}\n\n'
    '{"prompt": "hear ", "choices": ["me", "any further", "we"], "answer": "any further"}\n'
)


def binary(tasks: list[tuple[str, list[str], list[int]]]) -> bytes:
    def text(value: str) -> bytes:
        raw = value.encode()
        return struct.pack("<I", len(raw)) + raw

    def answers(texts: list[str], labels: list[int]) -> bytes:
        packed = struct.pack(f"<{len(labels)}i", *labels)
        return struct.pack("<I", len(texts)) + b"".join(map(text, texts)) + packed

    bodies = [text(q) + answers(a, labels) + answers([], []) for q, a, labels in tasks]
    starts = np.cumsum([4 + 4 * len(bodies), *map(len, bodies)])[:-1]
    return struct.pack(f"<{len(bodies) + 1}I", len(bodies), *starts) + b"".join(bodies)


BINARY = binary([("hear", ["me", "we speak"], [0, 1]), ("{", ["a", "b", "c"], [1, 0, 0])])


def test_files(tmp_path: Path) -> None:
    first, second = read_choices("hellaswag", HELLASWAG.encode(), "f")
    assert first.texts[2] == "hear me proceed any further"
    assert (first.right, second.right, len(second.texts)) == ({2}, {0}, 4)
    first, second = read_choices("winogrande", WINOGRANDE.encode(), "f")
    assert first.texts == tuple(f"hear {x}, before we proceed any further" for x in ("me", "we"))
    assert (first.heads, first.right) == (("hear me", "hear we"), {1})
    first, second = read_choices("multiple-choice", JSON_LINES.encode(), "f")
    assert (first.texts, first.right) == (("hear me speak", "hear we"), {1})
    assert (second.texts[1], second.right) == ("hear any further", {1})
    path = tmp_path / "tasks"
    path.write_bytes(BINARY)
    assert read_file("multiple-choice", path) == [
        Choice(("hear me", "hear we speak"), frozenset({1})),
        Choice(("{ a", "{ b", "{ c"), frozenset({0})),
    ]
    many = binary([("q", ["a", "b"], [1, 0])] * ord("{"))  # the count looks like JSON
    assert len(read_choices("multiple-choice", many, "f")) == 123


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("hellaswag", b"a\nb\n", "2 lines"),
        ("hellaswag", b"a\n4\nb\nc\nd\ne\n", "line 2: '4'"),
        ("winogrande", b"1,no gap,a,b,1\n", "row 1"),
        ("winogrande", b"1,a _,a,b,3\n", "row 1"),
        ("winogrande", b"", "no tasks"),
        ("multiple-choice", b'{"prompt": 1}\n', "line 1"),
        ("multiple-choice", b'{"prompt": "a", "choices": ["b"], "answer": 0}', "line 1"),
        ("multiple-choice", b'{"prompt": "a", "choices": ["b", "c"], "answer": 2}', "line 1"),
        ("multiple-choice", b'{"prompt": "a", "choices": ["b", "c"], "answer": "d"}', "line 1"),
        ("multiple-choice", BINARY[:-3], "truncated"),
        ("multiple-choice", b"\xff" * 40, "truncated"),
        ("multiple-choice", b"", "truncated"),
    ],
)
def test_bad_files(kind: str, data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_choices(kind, data, "f")


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_tasks_or_a_sentence(data: bytes) -> None:
    for kind in ("hellaswag", "winogrande", "multiple-choice"):
        with suppress(InputError):
            assert read_choices(kind, data, "f")


def test_draws_are_those_of_llama_perplexity() -> None:
    word = _words()
    assert [word() for _ in range(3)] == [1791095845, 4282876139, 3093770124]  # std::mt19937(1)
    tasks = list(range(60))
    assert draw("multiple-choice", tasks, None) == tasks
    assert draw("winogrande", tasks, 60) == tasks
    assert sorted(draw("hellaswag", tasks, 100)) == tasks
    # what a C++ program with libstdc++ draws by llama-perplexity's rules
    assert draw("hellaswag", tasks, 5) == HELLASWAG_DRAW
    assert draw("multiple-choice", tasks, 5) == SWAPPED_DRAW
    assert 59 not in draw("winogrande", tasks, 59)


HELLASWAG_DRAW = [25, 59, 42, 55, 0]
SWAPPED_DRAW = [25, 58, 41, 53, 0]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("hellaswag", HELLASWAG.encode()),
        ("winogrande", WINOGRANDE.encode()),
        ("multiple-choice", JSON_LINES.encode()),
        ("multiple-choice", BINARY),
    ],
)
def test_scores_against_float64(
    small: Model,
    log_probs_of: Callable[[Model, list[int]], np.ndarray],
    kind: str,
    data: bytes,
) -> None:
    tasks = read_choices(kind, data, "f")
    questions = [question(task, small.tokenizer) for task in tasks]
    examiner, marks = Examiner(small, questions, None), Marks()
    answers = list(examiner.answers(questions))
    alone = list(Examiner(small, questions, None).answers(questions[::-1]))[::-1]
    assert answers == alone
    for task, asked, answer in zip(tasks, questions, answers, strict=True):
        marks.add(answer)
        ids = [small.tokenizer.encode(text) for text in task.texts]
        common = min(
            next((i for i in range(len(row)) if len({x[i] for x in ids if i < len(x)}) > 1), 99)
            for row in ids
        )
        assert len(asked.prefix) == min(common, min(map(len, ids)) - 1)
        for row, mean, (first, last) in zip(ids, answer.means, asked.scored, strict=True):
            logs = log_probs_of(small, row)[len(asked.prefix) - 1 :][first:last]
            assert mean == pytest.approx(logs.mean(), rel=0.02)
        assert answer.is_right == (int(np.argmax(answer.means)) in task.right)
    assert marks.count == len(tasks)
    assert marks.interval[0] <= marks.accuracy[0] <= marks.interval[1]


def test_winogrande_scores_what_follows_the_choice(small: Model) -> None:
    (task,) = read_choices("winogrande", WINOGRANDE.splitlines(True)[0].encode(), "f")
    asked = question(task, small.tokenizer)
    for head, ending, (first, last) in zip(task.heads, asked.endings, asked.scored, strict=True):
        assert len(asked.prefix) + first == len(small.tokenizer.encode(head))
        assert last == len(ending) - 1
    short = question(
        Choice(("hear x", "hear y"), frozenset({0}), ("hear x", "hear y")), small.tokenizer
    )
    assert all(first == 0 and last >= 1 for first, last in short.scored)


def test_long_texts_are_refused(small: Model) -> None:
    task = Choice(("hear me " * 200, "hear we"), frozenset({0}))
    with pytest.raises(InputError, match="the context is 256"):
        Examiner(small, [question(task, small.tokenizer)], None)


def test_marks() -> None:
    marks = json.loads(json.dumps({"count": 2, "right": 1, "right_by_sum": 2, "chance": 0.5}))
    assert Marks(**marks).accuracy == (0.5, 0.5)
