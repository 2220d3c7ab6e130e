r"""Write the texts that the model `builtin` is trained on: stories and talks, from a seed.

    python scripts/builtin/corpus.py --part first --out first.txt --held-out first-held-out.txt

Everything in them comes from the tables and the grammar beside this file, which are under the
project's licence. Documents are separated by `<|endoftext|>`. No question of the held-out talks (and no
story of the held-out stories) stands in the training text, so that what is measured there is
not memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple
from zlib import crc32

from chats import Exchange, lesson, pair, rendered, talk
from stories import make_story

SEPARATOR = "<|endoftext|>"


class Part(NamedTuple):
    """How many documents of each kind, and the seed that they come from."""

    seed: int
    stories: int
    talks: dict[Callable[[Random], list[Exchange]], int]


PARTS = {
    "first": Part(4, 8_000, {talk: 30_000}),
    "second": Part(5, 5_000, {talk: 10_000, pair: 4_000, lesson: 36_000}),
}
"""What the model learns first, who lives in the village; and what it learns on top of that."""

HELD_OUT = 40
"""One of so many questions is kept for the held-out talks."""


def is_held_out(question: str) -> bool:
    """By the question alone; what everybody says ("hello") is never withheld."""
    return len(question.split()) > 2 and crc32(question.lower().encode()) % HELD_OUT == 0


def documents(part: Part) -> tuple[list[str], list[str]]:
    """The training documents and the held-out ones, both in random order."""
    random = Random(part.seed)
    kept: list[str] = []
    held: list[str] = []
    for number in range(part.stories):
        story = make_story(random).text
        (held if number % HELD_OUT == 0 else kept).append(story)
    for maker, count in part.talks.items():
        for _ in range(count):
            exchanges = maker(random)
            withheld = any(is_held_out(question) for question, _ in exchanges)
            (held if withheld else kept).append(rendered(random, exchanges))
    random.shuffle(kept)
    random.shuffle(held)
    return kept, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--held-out", type=Path, metavar="FILE")
    parser.add_argument("--part", choices=PARTS, default="first")
    options = parser.parse_args()
    kept, held = documents(PARTS[options.part])
    for path, texts in ((options.out, kept), (options.held_out, held)):
        if path is not None:
            path.write_text(SEPARATOR.join(["", *texts, ""]), "utf-8", newline="\n")
            print(f"{path}: {len(texts)} documents, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
