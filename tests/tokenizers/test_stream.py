"""Incremental decoding: whatever the pieces are, the text is the same and always whole."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.tokenizers.stream import TextStream


def streamed(pieces: list[bytes], *, drop_space: bool = False) -> list[str]:
    stream = TextStream(lambda token: pieces[token], drop_space=drop_space)
    return [*map(stream.push, range(len(pieces))), stream.close()]


@given(st.text(), st.data())
def test_a_text_cut_anywhere_comes_back(text: str, data: st.DataObject) -> None:
    raw = text.encode("utf-8")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=10)))
    borders = [0, *cuts, len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(borders)]
    parts = streamed(pieces)
    assert "".join(parts) == text
    assert all("\ufffd" not in part for part in parts if "\ufffd" not in text)


@given(st.lists(st.binary(max_size=5)))
def test_any_bytes_give_the_text_of_one_go(pieces: list[bytes]) -> None:
    assert "".join(streamed(pieces)) == b"".join(pieces).decode("utf-8", "replace")


def test_only_the_first_space_goes() -> None:
    assert streamed([b"", b" a", b" b"], drop_space=True) == ["", "a", " b", ""]
    assert streamed([b"  a"], drop_space=True) == [" a", ""]


def test_a_character_waits_for_its_last_byte() -> None:
    llama = "🦙".encode()
    assert streamed([llama[:1], llama[1:3], llama[3:]]) == ["", "", "🦙", ""]
    assert streamed([llama[:3]]) == ["", "\ufffd"]
