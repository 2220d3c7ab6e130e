"""Questions from school: sums, opposites, colours, sounds, the calendar; and jokes, riddles and poems."""

from __future__ import annotations

from random import Random

from knowledge import (
    COLOURS,
    DAYS,
    DO_NOT_KNOW,
    FACTS,
    JOKES,
    MONTHS,
    NUMBERS,
    OPPOSITES,
    POEM_PAIRS,
    RHYMES,
    RHYMING_LINES,
    RIDDLES,
    SEASONS,
    SOUNDS,
    UNKNOWN,
    YOUNG,
)
from wording import say, tidy

Exchange = tuple[str, str]
"""What the user says, and the answer."""


def sums(random: Random) -> Exchange:
    """A sum that is small enough, and sometimes one that is not."""
    sign = random.choice("+++--*")
    if random.random() < 0.06:
        a, b = random.randint(30, 999), random.randint(30, 999)
        answer = "[Those numbers are too big for me|That is too much for a tiny model]. [A calculator will know.|I only do small sums.]"
    elif sign == "*":
        a, b = random.randint(1, 5), random.randint(1, 5)
        answer = f"[It is|That is|] {a * b}."
    elif sign == "+":
        a, b = random.randint(0, 10), random.randint(0, 10)
        answer = f"[It is|That is|] {a + b}."
    else:
        b, c = random.randint(0, 9), random.randint(0, 9)
        a = b + c
        answer = f"[It is|That is|] {c}."
    words = {"+": "plus", "-": "minus", "*": "times"}[sign]
    spelt = [NUMBERS[n] if n <= 20 else str(n) for n in (a, b)]
    term = random.choice((
        f"{a} {sign} {b}", f"{a} {sign} {b}", f"{a} {words} {b}", f"{spelt[0]} {words} {spelt[1]}",
        f"{a}{sign}{b}",
    ))  # fmt: skip
    question = random.choice((
        "What is {}?", "How much is {}?", "{}", "What's {}?", "Can you tell me what {} is?", "{} = ?",
        "Calculate {}", "what is {}",
    ))  # fmt: skip
    return question.format(term), say(random, answer)


def opposites(random: Random) -> Exchange:
    """A word that has one opposite here, and that opposite."""
    pairs = [pair.split() for pair in OPPOSITES.split("|")]
    known: dict[str, str] = {}
    for a, b in pairs:
        known.setdefault(a, b)
        known.setdefault(b, a)
    word = random.choice(list(known))
    question = random.choice((
        "What is the opposite of {}?", "opposite of {}", "The opposite of {}?", "What's the opposite of {}",
        "Do you know the opposite of {}?", "Tell me the opposite of {}.", "What is the contrary of {}?",
    ))  # fmt: skip
    return question.format(word), say(random, f'[It is|That is|] "{known[word]}".')


def colours(random: Random) -> Exchange:
    colour = random.choice(list(COLOURS))
    thing = random.choice(COLOURS[colour].split("|"))
    question = random.choice((
        "What colour is {}?", "What color is {}?", "Which colour does {} have?", "what is the colour of {}",
        "Tell me the colour of {}.", "Do you know what colour {} is?",
    ))  # fmt: skip
    return question.format(thing), say(random, f"[It is|That is|] {colour}.")


def animals(random: Random) -> Exchange:
    if random.random() < 0.5:
        animal, sound = random.choice(list(SOUNDS.items()))
        question = random.choice((
            "What does a {} say?", "What sound does a {} make?", "How does a {} go?",
            "what noise does a {} make",
        ))  # fmt: skip
        return question.format(animal), say(random, f"[It says|Listen:|] {sound}!")
    animal, young = random.choice(list(YOUNG.items()))
    question = random.choice((
        "What is a young {} called?", "What is a baby {} called?", "What do you call a baby {}?",
        "how is a young {} called",
    ))  # fmt: skip
    return say(random, question.format(animal)), say(random, f"[It is called|That is|] a {young}.")


def calendar(random: Random) -> Exchange:
    names, unit = random.choice(((DAYS, "day"), (MONTHS, "month"), (SEASONS, "season")))
    at = random.randrange(len(names))
    kind = random.random()
    if kind < 0.45:
        question = random.choice(
            ("What comes after {}?", "Which {unit} comes after {}?", "What {unit} is after {}?")
        )
        return question.format(names[at], unit=unit), say(
            random, f"[It is|That is|] {names[(at + 1) % len(names)]}."
        )
    if kind < 0.8:
        question = random.choice(
            ("What comes before {}?", "Which {unit} comes before {}?", "What {unit} is before {}?")
        )
        return question.format(names[at], unit=unit), say(
            random, f"[It is|That is|] {names[at - 1]}."
        )
    listed = ", ".join(names[:-1]) + f" and {names[-1]}"
    where = {"day": "the week", "month": "the year", "season": "the year"}[unit]
    return say(
        random,
        f"[What are the {unit}s of {where}?|Name the {unit}s of {where}.|Tell me the {unit}s|List the {unit}s]",
    ), f"The {unit}s of {where} are {listed}."


def counting(random: Random) -> Exchange:
    if random.random() < 0.5:
        end = random.randint(3, 12)
        question = random.choice(
            ("Count to {}.", "Can you count to {}?", "Please count to {}", "count from 1 to {}")
        )
        word = random.choice((str(end), NUMBERS[end]))
        return question.format(word), ", ".join(map(str, range(1, end + 1))) + "."
    number = random.randint(0, 19)
    question = random.choice(
        ("What comes after {}?", "Which number comes after {}?", "What number is after {}?")
    )
    word = random.choice((str(number), NUMBERS[number]))
    return question.format(word), say(random, f"[It is|That is|] {number + 1}.")


def facts(random: Random) -> Exchange:
    question, answer = random.choice(FACTS)
    return question + random.choice("???") * (random.random() < 0.8), answer


def unknown(random: Random) -> Exchange:
    return say(random, random.choice(UNKNOWN)) + "?" * (random.random() < 0.8), say(
        random, random.choice(DO_NOT_KNOW)
    )


def rhymes(random: Random) -> Exchange:
    a, b = random.sample(random.choice(RHYMES.split("|")).split(), 2)
    question = random.choice((
        "What rhymes with {}?", "Find a rhyme for {}.", "a word that rhymes with {}", "Give me a rhyme for {}",
        "Which word rhymes with {}?",
    ))  # fmt: skip
    return question.format(a), say(random, f"[How about|I know one:|] {b}[.|!]")


def jokes(random: Random) -> Exchange:
    question = random.choice((
        "Tell me a joke", "Do you know a joke?", "Make me laugh", "Tell me something funny", "A joke, please",
        "I want to hear a joke", "Can you tell me a joke?", "joke", "Be funny", "tell me a good joke",
        "Say something funny",
    ))  # fmt: skip
    return question, random.choice(JOKES)


def riddles(random: Random) -> list[Exchange]:
    """A riddle, and its answer, guessed or given up."""
    riddle, answer = random.choice(RIDDLES)
    asked = random.choice((
        "Tell me a riddle", "Do you know a riddle?", "A riddle, please", "Give me a riddle",
        "Let's do riddles", "riddle",
    ))  # fmt: skip
    if random.random() < 0.5:
        guess = random.choice((answer, f"Is it {answer}?", f"It is {answer}!", f"{answer}?"))
        return [(asked, f"{riddle}?"), (guess, f"Yes, it is {answer}! Well done.")]
    guess = random.choice(
        ("I don't know", "Tell me", "No idea", "I give up", "What is it?", "What is the answer?")
    )
    return [(asked, f"{riddle}?"), (guess, f"It is {answer}!")]


def poem(random: Random, subject: str) -> str:
    """Four lines about somebody or something."""
    first = random.choice(POEM_PAIRS)
    opening = random.choice((
        f"A {subject} goes along the way.", f"I know a {subject}, small and grey.",
        f"There is a {subject} far away.", f"A {subject} came to me one day.",
    ))  # fmt: skip
    closing = random.choice((
        "And that is all it has to say.", "It did not want to go away.", "It never forgot how to play.",
        "And it may stay, and it may stay.",
    ))  # fmt: skip
    lines = [opening, RHYMING_LINES[first[0]] + ",", RHYMING_LINES[first[1]] + ".", closing]
    return "\n".join(tidy(line) if line[0] != "a" else line for line in lines)


QUESTIONS = (
    (sums, 9), (opposites, 4), (colours, 2), (animals, 1.5), (calendar, 1.5), (counting, 1), (facts, 3), (unknown, 3),
    (rhymes, 1), (jokes, 2),
)  # fmt: skip


def question(random: Random) -> Exchange:
    """Any question of this module."""
    makers, weights = zip(*QUESTIONS, strict=True)
    return random.choices(makers, weights)[0](random)
