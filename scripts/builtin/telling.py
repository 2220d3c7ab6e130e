"""A story in the making, and sentences that fit into any.

A story keeps its people, their pronouns and the things they carry; what it knows about itself is
there to be asked for afterwards (`Story.facts`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from cast import Character
from wording import say

HABITS = (
    "Every morning {he} [swept the floor|fed the birds|watered the flowers|counted the clouds] and "
    "[hummed a tune|sang a song|had a cup of tea|smiled at the sun].",
    "{name} liked [quiet mornings|long walks|rainy days|good stories|warm bread] more than anything.",
    "Everybody [liked|knew] {name}, because {he} [always had time|laughed so easily|never forgot a "
    "birthday|told the best jokes].",
    "",
    "",
)

TIMES = (
    "One morning", "One day", "One sunny day", "One rainy afternoon", "One evening in autumn",
    "On the first day of spring", "On a cold winter day", "One windy morning", "Last summer",
)  # fmt: skip


@dataclass
class Story:
    """A story in the making.

    Attributes:
        hero, friend: the two that every story has.
        theme: what it is about, as one would ask for it.
        title: a heading for it.
        facts: question and answer pairs that hold in this story.
    """

    random: Random
    hero: Character
    friend: Character
    slots: dict[str, str] = field(default_factory=dict)
    theme: str = ""
    title: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def tell(self, *templates: str) -> None:
        """One of the templates, as the next sentences."""
        text = say(self.random, self.random.choice(templates), self.slots)
        if text:
            self.sentences.append(text)

    def know(self, question: str, answer: str) -> None:
        """Something that may be asked when the story is told."""
        self.facts.append((question, say(self.random, answer, self.slots)))

    @property
    def text(self) -> str:
        """The story in two or three paragraphs."""
        count = len(self.sentences)
        first, second = 2, max(3, count - 3)
        parts = (self.sentences[:first], self.sentences[first:second], self.sentences[second:])
        return "\n\n".join(" ".join(part) for part in parts if part)
