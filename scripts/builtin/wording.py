"""Sentences with choices: "[Once|One day] {name} found a {thing}." becomes one of them.

Square brackets hold alternatives, also nested and empty; braces hold slots, which are filled after
the choice. Then the small things are put right: a or an, capitals, spaces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])(?!unicorn|one\b|used|Euro)")
_START = re.compile(r'(^|[.!?]\s+|[.!?]"\s+(?=[a-z][a-z]* (?:was|had|could|did)\b)|\n)([a-z])')


def choose(random: Random, template: str) -> str:
    """One alternative of every pair of brackets, the inner ones first."""
    while "[" in template:
        template = _CHOICE.sub(lambda found: random.choice(found[1].split("|")), template)
    return template


def tidy(text: str) -> str:
    """Single spaces, "an" before vowels, a capital at the start of each sentence."""
    text = re.sub(r" +", " ", text).replace(" .", ".").replace(" ,", ",").strip()
    text = _ARTICLE.sub(r"\1n ", text)
    return _START.sub(lambda found: found[1] + found[2].upper(), text)


def say(random: Random, template: str, slots: Mapping[str, str] | None = None) -> str:
    """A sentence or several from a template."""
    text = choose(random, template)
    return tidy(text.format_map(slots) if slots else text)
