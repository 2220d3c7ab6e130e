"""Text from tokens: stop strings, ends, limits, full contexts; with a runner that is no model."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.engine.generation import Continuation, Generation
from zigllm_cli.engine.session import Session
from zigllm_cli.engine.stopping import StopMatcher
from zigllm_cli.errors import UsageError
from zigllm_cli.sampling import Sampling
from zigllm_cli.tokenizers import Tokenizer


class Script:
    """A chain that chooses what is written down."""

    seed = 0
    is_over = False

    def __init__(self, ids: list[int]) -> None:
        self.left = list(ids)

    def sample(self, logits: np.ndarray, tokens: list[int]) -> int:
        return self.left.pop(0)


def stops_of(text: str, stops: list[str]) -> tuple[str, str | None]:
    """What a stop string leaves, worked out character by character."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            longest = max(ending, key=len)
            return text[: end - len(longest)], longest
    return text, None


TEXTS = st.text("abc", max_size=30)


@given(TEXTS, st.lists(st.text("abc", min_size=1, max_size=5), max_size=4), st.data())
def test_stop_strings_wherever_pieces_end(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    matcher = StopMatcher(stops)
    expected, found = stops_of(text, stops)
    shown = ""
    for start, end in pairwise([0, *cuts, len(text)]):
        shown += matcher.push(text[start:end])
        assert expected.startswith(shown), "a part of a stop string was shown"
    shown += matcher.close()
    assert (shown, matcher.found) == (expected, found)


def test_stop_strings_hold_back_no_more_than_needed() -> None:
    matcher = StopMatcher(["\nUser:", "END"])
    assert [matcher.push(text) for text in ("hi\n", "Us", "e me", " EN", "T")] == [
        *("hi", "", "\nUse me", " ", "ENT"),
    ]
    with pytest.raises(UsageError, match="a stop string is empty"):
        StopMatcher(["x", ""])


def continuation(tokenizer: Tokenizer, prompt: str, follow: list[int], **options) -> Continuation:
    return Continuation(tokenizer, Script(follow), tokenizer.encode(prompt), **options)


def test_pieces_make_the_text(tokenizer: Tokenizer, fake) -> None:
    text = " Grüße, 🦙!\nhear me"
    ids = tokenizer.encode(text, add_special=False)[1:]  # without the tokenizer's own space
    follow = continuation(tokenizer, "Well,", ids, max_tokens=len(ids))
    generation = Generation(Session(fake()), follow)
    pieces = list(generation)
    assert "".join(pieces) == generation.text == text
    assert "" not in pieces
    assert (generation.ids, generation.finish_reason) == (ids, "length")


def test_a_space_at_the_start_stays(tokenizer: Tokenizer, fake) -> None:
    """The space in front of a text is the tokenizer's own; one behind the prompt is not."""
    word = tokenizer.encode("hear", add_special=False)
    assert "".join(tokenizer.stream().push(i) for i in word) == "hear"
    follow = continuation(tokenizer, "I", word, max_tokens=len(word))
    assert "".join(Generation(Session(fake()), follow)) == " hear"
    at_start = continuation(tokenizer, "", word, max_tokens=len(word))
    assert "".join(Generation(Session(fake()), at_start)) == "hear"


def test_an_unfinished_character_is_shown_as_such(tokenizer: Tokenizer, fake) -> None:
    first_byte = tokenizer.encode("🦙", add_special=False)[-4:][:1]
    follow = continuation(tokenizer, "a", first_byte, max_tokens=1)
    assert list(Generation(Session(fake()), follow)) == ["\ufffd"]


def test_ends(tokenizer: Tokenizer, fake) -> None:
    word = tokenizer.encode("hear me", add_special=False)
    (end,) = tokenizer.vocabulary.end_ids
    generation = Generation(Session(fake()), continuation(tokenizer, "I", [*word, end, 5]))
    assert "".join(generation) == " hear me"
    assert (generation.finish_reason, generation.ids) == ("end", word)

    stopped = continuation(tokenizer, "I", [*word, *word], stop=("xyz", "r m"))
    generation = Generation(Session(fake()), stopped)
    assert "".join(generation) == generation.text == " hea"
    assert generation.finish_reason == "stop"

    held = continuation(tokenizer, "I", [*word, end], stop=("meet",))
    generation = Generation(Session(fake()), held)
    assert "".join(generation) == generation.text == " hear me"

    nothing = Generation(Session(fake()), continuation(tokenizer, "I", [], max_tokens=0))
    assert (list(nothing), nothing.finish_reason) == ([], "length")


def test_a_full_context(tokenizer: Tokenizer, fake) -> None:
    follow = continuation(tokenizer, "hear me", [5] * 99)
    room = 12 - len(follow.prompt)
    generation = Generation(Session(fake(context=12)), follow)
    list(generation)
    assert generation.finish_reason == "context"
    assert len(generation.ids) == room + 1  # the last one is chosen, but has no place
    assert generation.timings.decode_tokens == room


@pytest.mark.parametrize("keep", [0, 3])
def test_a_context_that_shifts(tokenizer: Tokenizer, fake, keep: int) -> None:
    runner, ids = fake(context=12), list(range(20, 70))
    follow = continuation(tokenizer, "hear me", ids, max_tokens=50)
    start = len(follow.prompt)
    generation = Generation(Session(runner), follow, keep=keep)
    list(generation)
    assert (generation.finish_reason, generation.ids) == ("length", ids)
    tokens = generation.session.tokens
    assert tokens[:keep] == follow.prompt[:keep]
    assert tokens[keep:] == follow.tokens[: start + 49][len(tokens) * -1 + keep :]
    assert len(tokens) <= 12


def test_nothing_to_shift(tokenizer: Tokenizer, fake) -> None:
    follow = continuation(tokenizer, "hear me", [5] * 99)
    generation = Generation(Session(fake(context=12)), follow, keep=11)
    list(generation)
    assert generation.finish_reason == "context"


def test_prompts_that_are_refused(tokenizer: Tokenizer, fake) -> None:
    with pytest.raises(UsageError, match="the prompt has 5 tokens, but the context holds 4"):
        Generation(Session(fake(context=4)), Continuation(tokenizer, Script([]), [1] * 5))
    with pytest.raises(UsageError, match="the prompt is empty"):
        Continuation(tokenizer, Script([]), [])
    with pytest.raises(UsageError, match="max-tokens is -1"):
        Continuation(tokenizer, Script([]), [1], max_tokens=-1)


def test_what_is_known_is_not_evaluated_again(tokenizer: Tokenizer, fake) -> None:
    runner = fake()
    session = Session(runner)
    chain = Sampling(seed=4, temperature=2).chain

    def run(prompt: list[int]) -> tuple[list[int], int]:
        follow = Continuation(tokenizer, chain(), prompt, max_tokens=5)
        generation = Generation(session, follow)
        list(generation)
        return generation.ids, generation.timings.prefill_tokens

    first, evaluated = run([1, 10, 11, 12])
    assert evaluated == 4
    longer = [1, 10, 11, 12, *first, 30]
    again, evaluated = run(longer)
    assert evaluated == 2  # the last token chosen was never evaluated
    session.truncate(0)
    assert run(longer) == (again, len(longer))


def test_timings(tokenizer: Tokenizer, fake) -> None:
    follow = continuation(tokenizer, "hear me", [5] * 9, max_tokens=9)
    generation = Generation(Session(fake()), follow, load=0.5)
    list(generation)
    timings = generation.timings
    assert (timings.load, timings.decode_tokens) == (0.5, 8)
    assert timings.prefill_tokens == len(follow.prompt)
    assert timings.first_token > 0.5 + timings.prefill > 0.5
    assert timings.decode_rate == pytest.approx(8 / timings.decode)
    assert timings.prefill_rate > 0
