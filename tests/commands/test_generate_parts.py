"""Parts of `zigllm generate` that need no engine: prompts, escapes, cuts, overrides."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.commands._generate_prompt import fit, unescape
from zigllm_cli.commands._generate_run import steps_of
from zigllm_cli.commands._overrides import override, parse_overrides, rope_overrides
from zigllm_cli.errors import UsageError
from zigllm_cli.gguf import GGUFFile, ValueType


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (r"a\nb\tc\rd", "a\nb\tc\rd"),
        (r"\\n \' \"", "\\n ' \""),
        (r"\x41\x4a!", "AJ!"),
        (r"\xc3\xa9 caf\u00e9", "é caf\\u00e9"),
        (r"\q \x", r"\q \x"),
        ("\\", "\\"),
    ],
)
def test_escapes(text: str, meaning: str) -> None:
    assert unescape(text) == meaning


def test_an_escaped_byte_that_is_no_character_reaches_the_tokenizer() -> None:
    assert unescape(r"\xff") == "\udcff"


@given(
    st.integers(1, 300),
    st.integers(2, 200),
    st.sampled_from(["head", "middle"]),
    st.integers(0, 1),
    st.none() | st.integers(0, 400),
)
def test_cuts(length: int, context: int, how: str, first: int, wanted: int | None) -> None:
    ids = list(range(length))
    cut = fit(ids, context, how=how, first=first, max_tokens=wanted)
    if length <= context:
        assert cut == ids
        return
    assert first < len(cut) <= context
    assert cut[:first] == ids[:first]
    assert cut[-1] == ids[-1]
    assert cut == sorted(set(cut))
    reserve = context // 4 if wanted is None else wanted
    assert context - len(cut) == min(reserve, context // 2, context - first - 1)
    gaps = sum(after - before > 1 for before, after in pairwise(cut))
    assert gaps <= 1
    if how == "head":
        assert cut[first:] == ids[length - len(cut) + first :]
    elif len(cut) >= 4:
        assert cut[: len(cut) // 2] == ids[: len(cut) // 2]


def test_no_cut_unless_asked_for() -> None:
    assert fit([1] * 9, 4, how=None, first=1, max_tokens=None) == [1] * 9


@pytest.mark.parametrize(
    ("prompt", "steps"),
    [
        (5, {(5, 1), (1, 1)}),
        (512, {(512, 1), (1, 1)}),
        (513, {(512, 0), (1, 1)}),
        (1024, {(512, 0), (512, 1), (1, 1)}),
        (1030, {(512, 0), (6, 1), (1, 1)}),
    ],
)
def test_forms_of_steps(prompt: int, steps: set[tuple[int, int]]) -> None:
    assert set(steps_of(prompt, 512, sequences=1)) == steps
    assert set(steps_of(prompt, 512, sequences=3)) == steps | {(2, 2), (3, 3)}


def test_overrides_are_read() -> None:
    words = ["a.b=int:-3,c=float:1.5", "d=bool:true", "e=str:x, y=z,f=int:0x", "g=str:"]
    assert parse_overrides(words[:2]) == [
        ("a.b", ValueType.INT64, -3),
        ("c", ValueType.FLOAT64, 1.5),
        ("d", ValueType.BOOL, True),
    ]
    assert parse_overrides(words[3:]) == [("g", ValueType.STRING, "")]
    assert parse_overrides(["e=str:x, y=z"]) == [("e", ValueType.STRING, "x, y=z")]
    with pytest.raises(UsageError, match="f: '0x' is not of type int"):
        parse_overrides(words[2:3])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("a", "not KEY=TYPE:VALUE"),
        ("a=int", "not KEY=TYPE:VALUE"),
        ("a=u32:1", "with a TYPE of int, float, bool, str"),
        ("a=bool:1", "'1' is not true or false"),
        ("a=float:x", "'x' is not of type float"),
    ],
)
def test_overrides_that_are_none(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_overrides([word])


@pytest.fixture
def file() -> GGUFFile:
    return zigllm_cli.load(RANDOM).file


def test_overrides_take_the_type_of_the_file(file: GGUFFile) -> None:
    override(file, parse_overrides(["llama.context_length=int:77", "my.key=int:5"]))
    assert file.hyperparameter("context_length") == 77
    assert file.metadata.fields["llama.context_length"].type is ValueType.UINT32
    assert (file.metadata["my.key"], file.metadata["general.architecture"]) == (5, "llama")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("llama.context_length=str:x", "has it as int, it cannot become str"),
        ("llama.context_length=int:-1", "-1 is outside the range of UINT32"),
        ("llama.context_length=int:99999999999", "outside the range of UINT32"),
        ("tokenizer.ggml.tokens=str:x", "has it as an array, it cannot become str"),
        ("tokenizer.ggml.add_bos_token=int:1", "has it as bool, it cannot become int"),
    ],
)
def test_overrides_that_do_not_fit(file: GGUFFile, word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(file, parse_overrides([word]))


def test_rotary_options(file: GGUFFile) -> None:
    override(file, rope_overrides("llama", "yarn", 4, 5e5))
    assert file.hyperparameter("rope.scaling.type") == "yarn"
    assert file.hyperparameter("rope.scaling.factor") == 4
    assert file.hyperparameter("rope.freq_base") == 5e5
    assert rope_overrides("llama", None, None, None) == []
    with pytest.raises(UsageError, match="--rope-freq-base is -1, but must be above 0"):
        rope_overrides("llama", None, None, -1)
