"""A text with marks behaves as the text does, and its marks go where its characters go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zigllm_cli.templates.origin import CONTENT, TEMPLATE, Traced, joined, plain

TEXTS = st.text(alphabet="ab \n,ßA<", max_size=12)
SEPARATORS = st.text(alphabet="ab ,", min_size=1, max_size=2)


def traced(text: str) -> Traced:
    """Alternating marks, so that each character's origin is visible."""
    return Traced(text, bytes(i % 2 for i in range(len(text))))


def as_plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    return type(value)(map(as_plain, value)) if isinstance(value, list | tuple) else value


def marks_fit(value: Any) -> bool:
    if isinstance(value, Traced):
        return len(value.marks) == len(value)
    return all(map(marks_fit, value)) if isinstance(value, list | tuple) else True


@given(TEXTS, SEPARATORS, TEXTS, st.integers(-3, 9))
@settings(deadline=None)
def test_methods_do_what_those_of_str_do(text: str, sep: str, other: str, n: int) -> None:
    calls: list[tuple[str, tuple[Any, ...]]] = [
        *((name, ()) for name in ("strip", "lstrip", "rstrip", "split", "rsplit", "splitlines")),
        *((name, ()) for name in ("upper", "lower", "title", "capitalize", "swapcase", "casefold")),
        *((name, (sep,)) for name in ("strip", "lstrip", "rstrip", "split", "rsplit")),
        *((name, (sep,)) for name in ("partition", "rpartition", "removeprefix", "removesuffix")),
        *((name, (sep, n)) for name in ("split", "rsplit")),
        *((name, (None, n)) for name in ("split", "rsplit")),
        *((name, (n,)) for name in ("center", "ljust", "rjust", "zfill", "expandtabs")),
        *(("replace", args) for args in ((sep, other), (sep, other, n), ("", sep), ("", sep, n))),
        ("splitlines", (True,)),
        ("join", ([other, sep, text],)),
        ("__getitem__", (slice(n, None, -1),)),
        ("__getitem__", (slice(None, n),)),
        ("__add__", (other,)),
        ("__mul__", (n,)),
    ]
    for name, args in calls:
        expected = getattr(text, name)(*args)
        got = getattr(traced(text), name)(*args)
        assert as_plain(got) == expected, (name, args)
        assert marks_fit(got), (name, args)


@given(TEXTS, SEPARATORS)
@settings(deadline=None)
def test_parts_keep_the_marks_of_their_place(text: str, sep: str) -> None:
    """Each character is its own place in the text, so a part shows where it was taken from."""
    numbered = Traced(text, bytes(range(len(text))))
    for parts in (numbered.split(sep), numbered.split(), numbered.splitlines(), [numbered.strip()]):
        for part in parts:
            assert isinstance(part, Traced)
            for character, place in zip(part, part.marks, strict=True):
                assert text[place] == plain(character)
        places = [place for part in parts for place in part.marks]  # type: ignore[attr-defined]
        assert places == sorted(set(places))


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("%s and %r", ("a", "b")),
        ("%(x)s %(y)5d%%", {"x": "a", "y": 3}),
        ("%-5s|%05.1f|%*d", ("a", 2.25, 4, 7)),
        ("100%%", ()),
        ("%s", "a"),
        ("no conversion", {}),
    ],
)
def test_percent_is_that_of_str(template: str, values: Any) -> None:
    expected = template % values
    assert plain(traced(template) % values) == expected
    if isinstance(values, str):
        assert (template % traced(values)).marks == traced(values).marks  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("template", "values"),
    [("%s", ()), ("%s", ("a", "b")), ("%d", ("a",)), ("50%", ())],
)
def test_percent_fails_as_that_of_str(template: str, values: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        template % values
    with pytest.raises((TypeError, ValueError)):
        traced(template) % values


def test_text_without_marks_is_the_templates() -> None:
    text = "a" + Traced("b", CONTENT) + "c"
    assert isinstance(text, Traced)
    assert text.marks == TEMPLATE + CONTENT + TEMPLATE
    assert joined([]) == ""
    assert type(plain(text)) is str
    with pytest.raises(TypeError):
        text + 1  # type: ignore[operator]
