"""Records on disk: all digits kept, cut-off lines forgotten, parts merged, damage reported."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zigllm_cli.errors import InputError
from zigllm_cli.evaluate.chunks import (
    BaseFigures,
    Chunk,
    TokenFigures,
    chunk_of,
    from_json,
    to_json,
)
from zigllm_cli.evaluate.records import RecordReader, RecordWriter, Subject, merged
from zigllm_cli.evaluate.totals import Totals, percentile, share
from zigllm_cli.evaluate.windows import Window

SUBJECT = Subject("ab", "m.gguf", "cd", "chunks of 8", None, "f16", None, True)


class Sizes:
    """Three bytes and two characters a token."""

    def of(self, tokens: tuple[int, ...]) -> tuple[int, int]:
        return 3 * len(tokens), 2 * len(tokens)


def chunk(number: int, *, with_base: bool = True) -> Chunk:
    rng = np.random.default_rng(number)
    window = Window(number, 8 * number, tuple(range(8)), 3, 5)
    base = BaseFigures(-rng.exponential(3, 5), rng.exponential(0.1, 5), rng.random(5) < 0.9)
    tokens = np.arange(3, 8)
    figures = TokenFigures(tokens, -rng.exponential(3, 5), tokens + 1, base if with_base else None)
    return chunk_of(window, figures, Sizes(), keep=True)  # type: ignore[arg-type]


def same(one: Chunk, other: Chunk) -> bool:
    return json.dumps(to_json(one)) == json.dumps(to_json(other))


@pytest.mark.parametrize("with_base", [False, True])
def test_json_keeps_everything(with_base: bool) -> None:
    one = chunk(3, with_base=with_base)
    other = from_json(json.loads(json.dumps(to_json(one))))
    assert same(one, other)
    assert (other.nll, other.first, other.bytes, other.characters) == (one.nll, 27, 15, 10)
    assert other.tokens is not None
    assert one.tokens is not None
    np.testing.assert_array_equal(other.tokens.log_probs, one.tokens.log_probs)
    assert (other.base is not None) == with_base


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*to_json(chunk(0)), "odd"]), st.integers() | st.text()))
def test_other_json_is_refused(changes: dict[str, object]) -> None:
    values = {**to_json(chunk(0)), **changes}
    try:
        found = from_json(values)
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    assert isinstance(found, Chunk)


def write(
    path: Path, numbers: list[int], subject: Subject = SUBJECT, end: int | None = None
) -> Path:
    with path.open("wb") as file:
        writer = RecordWriter(file, subject)
        for number in numbers:
            writer.add(chunk(number))
        if end is not None:
            writer.end(end)
    return path


def test_a_cut_off_line_is_forgotten(tmp_path: Path) -> None:
    path = write(tmp_path / "state", [0, 1, 2], end=3)
    whole = path.read_bytes()
    for size in {*range(0, len(whole), 13), *range(len(whole) - 16, len(whole))}:
        path.write_bytes(whole[:size])
        lines = whole[:size].count(b"\n")
        if not lines:
            with pytest.raises(InputError, match="no record"):
                RecordReader(path)
            continue
        reader = RecordReader(path)
        assert [c.number for c in reader] == [0, 1, 2][: lines - 1]
        assert reader.size == whole[:size].rfind(b"\n") + 1
        assert reader.windows is None


def test_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "state", [0, 1])
    head, first, second, _ = path.read_bytes().split(b"\n")
    for lines in (
        [head, second, first],
        [head, b"{}"],
        [head, b"nonsense"],
        [head, b'{"windows":2}', first],
    ):
        path.write_bytes(b"\n".join([*lines, b""]))
        with pytest.raises(InputError, match="damaged in line"):
            list(RecordReader(path))
    path.write_text('{"schema": "other"}\n')
    with pytest.raises(InputError, match="no record"):
        RecordReader(path)
    with pytest.raises(InputError, match="cannot read"):
        RecordReader(tmp_path / "none")


def parts(folder: Path, count: int, shards: int, subject: Subject = SUBJECT) -> list[RecordReader]:
    found = []
    for shard in range(1, shards + 1):
        numbers = list(range(shard - 1, count, shards))
        own = replace(subject, shard=(shard, shards))
        found.append(RecordReader(write(folder / f"part{shard}", numbers, own, end=count)))
    return found


@pytest.mark.parametrize("shards", [1, 2, 5, 9])
def test_merging_is_the_same_as_one_run(tmp_path: Path, shards: int) -> None:
    one, other = Totals(), Totals()
    for number in range(7):
        one.add(chunk(number))
    for found in merged(parts(tmp_path, 7, shards)[::-1]):
        other.add(found)
    assert (one.nll, one.nll_squared, one.count) == (other.nll, other.nll_squared, other.count)
    assert one.base is not None
    assert other.base is not None
    assert one.base.sums == other.base.sums


def test_parts_that_do_not_make_a_whole(tmp_path: Path) -> None:
    found = parts(tmp_path, 7, 3)
    with pytest.raises(InputError, match=r"chunk 2 is missing.*shard 2/3"):
        list(merged([found[0], found[2]]))
    with pytest.raises(InputError, match="in two records"):
        list(merged([*found, found[1]]))
    other = replace(SUBJECT, text="xx", shard=(2, 3))
    odd = RecordReader(write(tmp_path / "odd", [1, 4], other, end=7))
    with pytest.raises(InputError, match="do not belong together: text differs"):
        list(merged([found[0], odd, found[2]]))
    short = RecordReader(write(tmp_path / "short", [1, 4], replace(SUBJECT, shard=(2, 3))))
    with pytest.raises(InputError, match="not finished"):
        list(merged([found[0], short, found[2]]))
    longer = RecordReader(write(tmp_path / "long", [1, 4], replace(SUBJECT, shard=(2, 3)), end=8))
    with pytest.raises(InputError, match="different texts"):
        list(merged([found[0], longer, found[2]]))


def test_writer_goes_on_without_a_subject() -> None:
    file = io.BytesIO()
    RecordWriter(file, None).end(3)
    assert file.getvalue() == b'{"windows":3}\n'


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 100))
def test_percentiles(values: list[float], at: float) -> None:
    values.sort()
    assert percentile(values, at) == pytest.approx(np.percentile(values, at), rel=1e-9, abs=1e-6)


def test_shares() -> None:
    assert share(3, 4) == pytest.approx((0.75, (0.75 * 0.25 / 3) ** 0.5))
    assert share(1, 1) == (1, 0)
