"""The story grammar: who, where, and a plot that they live through."""

from __future__ import annotations

from random import Random

from cast import FOODS, PLACES, THINGS, character
from plots import PLOTS, Plot
from telling import Story

OPENINGS = (
    "Once upon a time there was a {adj} {kind} called {name}. {He} lived {home}.",
    "Once upon a time, {home}, there lived a {adj} {kind} named {name}.",
    "Once upon a time a {adj} {kind} lived {home}. {His} name was {name}.",
    "{name} was a {adj} {kind} who lived {home}.",
    "There once was a {adj} {kind} called {name}, who lived {home}.",
    "Long ago, {home}, lived a {kind}. {He} was {adj}, and {his} name was {name}.",
    "In a time when [the moon was younger|stars still told stories|letters came by boat], a {adj} "
    "{kind} named {name} lived {home}.",
    "Far away, {home}, lived {name}, a {adj} {kind}.",
)

ENDINGS = (
    "And they lived happily ever after.",
    "From that day on, {name} and {fname} were the best of friends.",
    "And if you walk by [one evening|on a quiet day], you may still hear them laugh.",
    "That night {name} slept very well.",
    "{name} has told this story many times since then, and {he} always smiles at the end.",
    "And that is [how it was|the end of the story].",
    "The end.",
)


def make_story(
    random: Random,
    kind: str | None = None,
    friend_kind: str | None = None,
    plot: Plot | None = None,
) -> Story:
    """A story; who and what it is about is drawn where it is not given."""
    hero = character(random, kind)
    friend = character(random, friend_kind, hero)
    story = Story(random, hero, friend)
    story.slots = {
        **hero.slots(),
        **friend.slots("f"),
        "Fhe": friend.he.title(),
        "home": hero.home,
        "thing": hero.thing,
        "use": THINGS[hero.thing],
        "place": random.choice(PLACES),
        "food": random.choice(FOODS),
        "himself": "himself" if hero.he == "he" else "herself",
    }
    story.slots["Place"] = story.slots["place"][0].upper() + story.slots["place"][1:]
    story.tell(*OPENINGS)
    (plot or random.choice(PLOTS))(story)
    if random.random() < 0.8:
        story.tell(*ENDINGS)
    story.know(f"What was the {hero.kind} called?", "The {kind} was called {name}.")
    story.know("What was the name of the hero?", "The hero was a {kind} called {name}.")
    story.know(f"Where did {hero.name} live?", "{name} lived {home}.")
    story.know(f"Who was {friend.name}?", "{fname} was the {fkind} in the story.")
    story.know(f"Who was {hero.name}?", "{name} was a {adj} {kind} who lived {home}.")
    return story
