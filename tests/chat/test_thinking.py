"""Thoughts told from answers, wherever pieces end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.chat.thinking import SAY, THINK, Reader, opened_by


def sorted_out(pieces: list[str], inside: str | None = None) -> dict[str, str]:
    reader = Reader(inside)
    parts = [part for piece in pieces for part in reader.push(piece)] + list(reader.close())
    return {kind: "".join(text for k, text in parts if k == kind) for kind in (THINK, SAY)}


CASES = [
    ("plain text", None, "", "plain text"),
    ("<think>a < b</think>\n\nyes", None, "a < b", "yes"),
    ("\n<think>\na\n</think>yes", None, "a\n", "yes"),
    ("a</think>\n\nyes", "<think>", "a", "yes"),
    ("never ends", "<think>", "never ends", ""),
    ("<think>never ends", None, "never ends", ""),
    ("I say <think> is a tag", None, "", "I say <think> is a tag"),
    ("<thi", None, "", "<thi"),
    ("[THINK]a[/THINK]b", None, "a", "b"),
    ("<|channel|>analysis<|message|>a<|channel|>final<|message|>b", None, "a", "b"),
    ("  two spaces", None, "", "  two spaces"),
    ("<think></think>x", None, "", "x"),
    ("", None, "", ""),
]


@pytest.mark.parametrize(("text", "inside", "thought", "said"), CASES)
@given(data=st.data())
def test_parts(text: str, inside: str | None, thought: str, said: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    assert sorted_out(pieces, inside) == {THINK: thought, SAY: said}


def test_text_is_given_out_as_soon_as_it_is_certain() -> None:
    reader = Reader()
    assert list(reader.push("<")) == []
    assert list(reader.push("x")) == [(SAY, "<x")]
    reader = Reader("<think>")
    assert list(reader.push("a</th")) == [(THINK, "a")]
    assert list(reader.push("en")) == [(THINK, "</then")]


def test_a_prompt_may_open_the_thought() -> None:
    assert opened_by("<|assistant|><think>\n") == "<think>"
    assert opened_by("<think>\n\n</think>\n\n") is None
    assert opened_by("<|assistant|>") is None
