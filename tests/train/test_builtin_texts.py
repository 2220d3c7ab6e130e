"""The texts that `builtin` learns from: repeatable, whole, consistent, some questions kept back."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

SOURCES = Path(__file__).parents[2] / "scripts" / "builtin"


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules beside corpus.py, which are scripts and no package."""
    names = ("cast", "chats", "corpus", "lessons", "school", "smalltalk", "stories", "wording")
    monkeypatch.syspath_prepend(str(SOURCES))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import corpus
    import stories

    yield corpus, stories
    for name in names:
        sys.modules.pop(name, None)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    """In processes whose hashes differ: nothing may depend on the order of a set."""
    texts = []
    for salt in ("1", "2"):
        path = tmp_path / salt
        code = (
            "import sys, corpus\nfrom pathlib import Path\n"
            "part = corpus.Part(7, 50, {corpus.talk: 300, corpus.pair: 20, corpus.lesson: 100})\n"
            "Path(sys.argv[1]).write_text(repr(corpus.documents(part)))"
        )
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={"PYTHONPATH": str(SOURCES), "PYTHONHASHSEED": salt},
            check=True,
            timeout=60,
        )
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]
    assert len(texts[0]) > 100_000


def test_questions_are_kept_back(sources: Any) -> None:
    corpus, _ = sources
    part = corpus.Part(4, 100, {corpus.talk: 2000, corpus.lesson: 1000})
    kept, held = corpus.documents(part)
    asked = [questions(text) for text in kept]
    withheld = {question for text in held for question in questions(text)}
    only_held = {question for question in withheld if corpus.is_held_out(question)}
    assert len(only_held) > 30
    assert not only_held & {question for each in asked for question in each}


def questions(text: str) -> list[str]:
    return re.findall(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", text, re.DOTALL)


def test_stories_keep_their_people(sources: Any) -> None:
    """No pronoun of somebody who is not there, no third name, and no template left over."""
    _, stories = sources
    others = {"he": {"she", "her", "herself"}, "she": {"he", "him", "his", "himself"}}
    for seed in range(600):
        story = stories.make_story(Random(seed))
        words = set(re.findall(r"[a-z]+", story.text.lower()))
        pronouns = {story.hero.he, story.friend.he}
        if len(pronouns) == 1:
            assert not words & others[pronouns.pop()], story.text
        assert story.hero.name in story.text
        assert story.friend.name in story.text
        assert not re.search(r"[{}\[\]|]|  |\ba [aeio]", story.text), story.text
        assert all(re.search(r'[.!?]"?$', sentence) for sentence in story.sentences), story.text


def test_answers_about_a_story_stand_in_it(sources: Any) -> None:
    _, stories = sources
    for seed in range(300):
        story = stories.make_story(Random(seed))
        asked = [question for question, _ in story.facts]
        assert len(asked) >= 6
        for _, answer in story.facts:
            assert re.search(r"[A-Z].*\.$", answer), answer
            names = {story.hero.name, story.friend.name}
            capitals = set(re.findall(r"(?<=[a-z] )[A-Z][a-z]+", answer))
            assert capitals <= names, (answer, story.text)


def test_sums_are_right(sources: Any) -> None:
    import school

    for seed in range(500):
        _, answer = school.sums(Random(seed))
        found = re.fullmatch(r"(\d+) (plus|minus|times) (\d+) is (\d+)\.", answer)
        if found:
            a, b, result = int(found[1]), int(found[3]), int(found[4])
            assert {"plus": a + b, "minus": a - b, "times": a * b}[found[2]] == result
