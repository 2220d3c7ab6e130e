"""Talks of one to four turns, in the ChatML template: small talk, knowledge, stories and what follows."""

from __future__ import annotations

from random import Random

import school
from cast import KINDS, STRANGERS, THINGS, VILLAGE, character
from lessons import HOW_TO, SYNONYMS, TERMS
from smalltalk import SMALL_TALK
from stories import PLOTS, Story, make_story
from wording import say

Exchange = tuple[str, str]

BEGIN, END = "<|im_start|>", "<|im_end|>"

SYSTEMS = (
    "You are a helpful assistant.", "You are a friendly assistant.", "Answer briefly.", "You are builtin, a tiny model.",
    "Be kind.", "You tell stories.", "Answer in one sentence.", "You are a storyteller.", "Be short and honest.",
)  # fmt: skip

ASK_TERM = (
    "What is {a}?", "What is {a}", "what's {a}?", "Explain {a}.", "Can you explain {a}?", "What does {w} mean?",
    "Tell me about {a}.", "what is {a}?", "Do you know what {a} is?", "Please explain what {a} is.", "{w}?", "Define {w}",
    "What do you mean by {w}?", "explain {w}", "what are {w}s?",
)  # fmt: skip

ASK_HOW = (
    "How do I {}?", "How can I {}?", "How to {}", "how do I {}", "I want to {}", "Can I {}?", "How do you {}?",
    "What is the command to {}?", "I would like to {}.", "show me how to {}", "How does one {}?", "Please tell me how to {}",
)  # fmt: skip

ASK_STORY = (
    "Tell me a story about {}.", "tell me a story about {}", "A story about {}, please.", "Can you tell me a story about {}?",
    "I want a story about {}", "Please tell me a story about {}", "Write a story about {}.", "story about {}",
    "Do you know a story about {}?", "Tell a story with {}", "Write me a short story about {}.", "Tell me about {}",
    "I would like to hear a story about {}.", "Make up a story about {}!", "Once more, about {}", "Could you write a story "
    "about {}?", "Give me a tale about {}", "Short story about {}", "a fairy tale about {}", "Invent a story about {}.",
)  # fmt: skip

ASK_ANY_STORY = (
    "Tell me a story", "Tell me a story.", "tell me a story", "A story, please!", "I want a story", "Can you tell me a story?",
    "Do you know a story?", "Write a story", "Tell me a bedtime story", "Read me a story", "story", "Please tell me a story",
    "Tell me a tale", "Tell me something", "Write something", "Surprise me", "Tell me a short story", "Let me hear a story",
    "Once upon a time", "Can you write a story?", "I'd like a story", "tell me a nice story",
)  # fmt: skip

MORE = (
    "Another one!",
    "Another story, please.",
    "Tell me another one",
    "One more",
    "more",
    "again",
    "And another?",
    "another",
)

LEAD = ("", "", "", "", "Here is one. ", "With pleasure! ", "Listen: ", "Gladly. ", "All right. ")

POLITE = ("Please, ", "Hey, ", "Hello! ", "Hi, ", "Tell me, ", "So, ", "Well, ")

QUESTION_WORDS = "who what how are do can where which why will when is what's".split()


def varied(random: Random, text: str) -> str:
    """The same words as different people type them."""
    draw = random.random()
    if draw < 0.3:
        text = text[0].upper() + text[1:]
    elif draw < 0.42:
        text = text.lower()
    elif draw < 0.5 and len(text) > 6:
        lead = random.choice(POLITE)
        text = lead + (
            text if text.startswith("I ") or text.startswith("I'") else text[0].lower() + text[1:]
        )
    if text[-1].isalnum():
        text += (
            random.choice(("", "", "?", ".", "!")) if len(text) > 4 else random.choice(("", "!"))
        )
    elif text[-1] in "?." and random.random() < 0.15:
        text = text[:-1]
    return text


def small_talk(random: Random) -> Exchange:
    asks, answers = random.choice(SMALL_TALK)
    ask = say(random, random.choice(asks))
    return question_mark(random, varied(random, original_case(ask, asks))), say(
        random, random.choice(answers)
    )


def original_case(ask: str, asks: tuple[str, ...]) -> str:
    """`say` puts a capital first; people often do not."""
    return ask if any(one.startswith(ask[:1]) for one in asks) else ask[0].lower() + ask[1:]


def question_mark(random: Random, text: str) -> str:
    asks = text.lower().split(" ", 1)[0].strip("'") in QUESTION_WORDS
    if asks and text[-1] in ".!":
        text = text[:-1] + "?"
    return text


def term(random: Random) -> Exchange:
    word = random.choice(list(TERMS))
    answer = random.choice(TERMS[word])
    name = random.choice((word, *SYNONYMS.get(word, ())))
    ask = random.choice(ASK_TERM)
    if word == "zigllm":
        ask = random.choice(ASK_TERM[:6])
    bare = name.removeprefix("a ").removeprefix("an ").removeprefix("the ")
    has_article = (
        name != bare or name != word or word in ("zigllm", "attention", "perplexity", "training")
    )
    text = ask.format(a=name if has_article else f"a {name}", w=bare)
    return varied(random, say(random, text)), answer


def how_to(random: Random) -> Exchange:
    asks, answers = random.choice(HOW_TO)
    return varied(random, random.choice(ASK_HOW).format(random.choice(asks))), random.choice(
        answers
    )


def poems(random: Random) -> Exchange:
    subject = random.choice(
        (*KINDS, "cloud", "lantern", "little boat", "snowflake", "river", "token")
    )
    ask = random.choice((
        "Write a poem about a {}.", "A poem about a {}, please", "Can you write a poem about a {}?",
        "poem about a {}", "Tell me a poem about a {}", "Write me a short poem about a {}",
        "I want a poem about a {}",
    ))  # fmt: skip
    if random.random() < 0.25:
        ask = random.choice((
            "Write a poem", "Tell me a poem", "A poem, please!", "Do you know a poem?", "Write me a poem.",
        ))  # fmt: skip
    return varied(random, say(random, ask.format(subject))), school.poem(random, subject)


PEOPLE = (
    "Anna", "Ben", "Clara", "David", "Eva", "Frank", "Grace", "Hans", "Ines", "John", "Kim", "Laura", "Mark", "Olga",
    "Paul", "Rita", "Sara", "Tom", "Uwe", "Peter", "Maria", "James", "Linus", "Ken", "Alan", "Lisa", "Bob", "Alice",
)  # fmt: skip


def introduction(random: Random) -> Exchange:
    """Somebody says a name, which is too much to keep for so small a model."""
    told = random.choice((
        "My name is {}.", "I am {}.", "I'm {}", "my name is {}", "Call me {}.", "Hello, I am {}",
        "Hi, my name is {}.", "{} is my name.", "Hello, my name is {}!",
    ))  # fmt: skip
    return told.format(random.choice(PEOPLE)), say(
        random,
        "[Nice to meet you|Pleased to meet you|How nice]! I am builtin, and [I forget names at once|no name stays in "
        "my head for long]. [What shall we do?|Shall I tell you a story?|]",
    )


def forgotten(random: Random) -> Exchange:
    """Somebody's name is asked for."""
    ask = random.choice((
        "What is my name?", "what's my name?", "Do you know my name?", "Who am I?", "Say my name.",
        "Do you know who I am?", "Do you remember my name?", "remember me?",
    ))  # fmt: skip
    return ask, say(
        random,
        "I [do not know your name|cannot remember names]. [Three megabytes fill up so quickly.|All I can keep in "
        "mind is my village.]",
    )


def neighbour(random: Random) -> Exchange:
    """Somebody of the village: who it is, where and with what."""
    one = random.choice(VILLAGE)
    s = one.slots() | {"home": one.home, "thing": one.thing, "use": THINGS[one.thing]}
    asks, answer = random.choice((
        ("Who is {name}?|Tell me about {name}.|Do you know {name}?|{name}?",
         "{name} is a {adj} {kind} and lives {home}. {He} has a {thing} and loves to {use}."),
        ("Where does {name} live?|where is {name}'s home?|Where does the {kind} live?", "{name} the {kind} lives {home}."),
        ("What does {name} own?|What does {name} have?|what does {name} like to do?", "{name} has a {thing} and loves to {use}."),
        ("What is the {kind} called?|What is the name of the {kind}?|Who is the {kind}?", "The {kind} is called {name}."),
        ("Who lives {home}?", "{name} the {kind} lives {home}."),
        ("Who has a {thing}?|Whose is the {thing}?", "The {thing} belongs to {name} the {kind}."),
    ))  # fmt: skip
    return say(random, random.choice(asks.split("|")), s), say(random, answer, s)


def story_talk(random: Random) -> list[Exchange]:
    """A story that was asked for, and questions about it."""
    story, ask, lead = asked_story(random)
    talk = [(varied(random, ask), lead + story.text)]
    facts = story.facts
    for question, answer in random.sample(facts, min(len(facts), random.choice((0, 0, 1, 1, 2)))):
        talk.append((varied(random, question), answer))
    if random.random() < 0.12:
        talk.append((varied(random, random.choice(MORE)), make_story(random).text))
    elif random.random() < 0.25:
        talk.append(small_talk_of(random, "thank you for the story"))
    return talk


def asked_story(random: Random) -> tuple[Story, str, str]:
    """A story, how it was asked for, and what is said before it."""
    lead = random.choice(LEAD)
    draw = random.random()
    ask = random.choice(ASK_STORY)
    if draw < 0.2:
        return make_story(random), random.choice(ASK_ANY_STORY), lead
    if draw < 0.62:
        one = character(random)
        a_kind = f"a {one.kind}"
        subject = random.choice(
            (a_kind, a_kind, a_kind, f"a little {one.kind}", f"the {one.kind}", one.kind, one.name)
        )
        return make_story(random, one.kind), say(random, ask.format(subject)), lead
    if draw < 0.7:
        story, stranger = make_story(random), random.choice(STRANGERS)
        lead = say(
            random,
            "[I know nobody like that|Nobody like that lives in my village]. But I know {name} the {kind}. ",
            story.slots,
        )
        return story, say(random, ask.format(f"a {stranger}")), lead + " "
    if draw < 0.85:
        return (*story_of_two(random, ask), lead)
    if draw < 0.91:
        hero = character(random)
        plot = random.choice([plot for plot in PLOTS if plot.__name__ in ("lost", "gift")])
        asked = ask.format(f"a {hero.thing}")
        return make_story(random, hero.kind, plot=plot), say(random, asked), lead
    story = make_story(random)
    asked = random.choice((story.theme, story.theme, f"a {story.hero.kind} and {story.theme}"))
    return story, say(random, ask.format(asked)), lead


def story_of_two(random: Random, ask: str) -> tuple[Story, str]:
    """A story about two who were asked for, and how."""
    hero = character(random)
    friend = character(random, None, hero)
    asked = ask.format(f"a {hero.kind} and a {friend.kind}")
    return make_story(random, hero.kind, friend.kind), say(random, asked)


def small_talk_of(random: Random, phrase: str) -> Exchange:
    """The topic that holds `phrase`."""
    asks, answers = next(topic for topic in SMALL_TALK if phrase in topic[0])
    return varied(random, say(random, random.choice(asks))), say(random, random.choice(answers))


def talk(random: Random) -> list[Exchange]:
    """A talk of any kind."""
    draw = random.random()
    if draw < 0.24:
        return story_talk(random)
    if draw < 0.27:
        return school.riddles(random)
    makers = (small_talk, school.question, term, how_to, poems, neighbour, introduction, forgotten)
    weights = (34, 30, 14, 12, 4, 12, 2, 1.5)
    count = random.choice((1, 1, 1, 1, 2, 2, 3))
    return [maker(random) for maker in random.choices(makers, weights, k=count)]


def lesson(random: Random) -> list[Exchange]:
    """Some short questions that have one answer each, which take many repetitions to learn."""
    kinds = (school.question, school.sums, neighbour)
    makers = random.choices(kinds, (4, 3, 1), k=random.choice((1, 2, 3)))
    return [maker(random) for maker in makers]


def pair(random: Random) -> list[Exchange]:
    """A story about two; who they are is said first, so that the story need not look far back."""
    story, ask = story_of_two(random, random.choice(ASK_STORY))
    lead = "[Here is one|A story|This is a story|Listen to one] about {name} the {kind} and {fname} the {fkind}. "
    return [(varied(random, ask), say(random, lead, story.slots) + " " + story.text)]


def rendered(random: Random, exchanges: list[Exchange]) -> str:
    """A talk in the template that the model's file carries."""
    text = f"{BEGIN}system\n{random.choice(SYSTEMS)}{END}\n" if random.random() < 0.1 else ""
    for ask, answer in exchanges:
        text += f"{BEGIN}user\n{ask}{END}\n{BEGIN}assistant\n{answer}{END}\n"
    return text
