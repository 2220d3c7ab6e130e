r"""How well a model like `builtin` does what it is for: stories of two people, short answers.

    python scripts/builtin/judge.py zigllm_cli/builtin.gguf

Stories are right if they are about two of the village, those that were asked for among them, and
nobody in them is what somebody else is. Everything but the stories "Once upon a time" (seeds 0, 1, ...)
takes the likeliest tokens.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from typing import Any

from cast import VILLAGE

STORY = "Once upon a time"

NAMES = {one.kind: one.name for one in VILLAGE}
"""A fox is called Tilda."""

PAIRS = list(zip(list(NAMES)[::2], list(NAMES)[1::2], strict=True))
"""Kinds that stories of two are asked about: each one once."""

ANSWERS = {
    "Who are you?": "builtin|tiny|model",
    "What is your name?": "builtin",
    "What can you do?": "stor",
    "Who is Pip?": "mouse.*under an old oak tree",
    "Where does Luna live?": "in a house with a round window",
    "Who lives at the foot of a blue mountain?": "Ember",
    "What is the fox called?": "Tilda",
    "What is 2 + 3?": r"\b5\b",
    "What is 7 + 5?": r"\b12\b",
    "What is 9 - 4?": r"\b5\b",
    "What is 3 times 4?": r"\b12\b",
    "6+6": r"\b12\b",
    "What is the opposite of hot?": "cold",
    "What is the opposite of big?": "small|little",
    "What colour is the sky?": "blue",
    "What colour is grass?": "green",
    "What does a cow say?": "moo",
    "What is a young cat called?": "kitten",
    "What day comes after Monday?": "Tuesday",
    "What rhymes with cat?": "hat",
    "What is a token?": "text",
    "What is GGUF?": "file|format",
    "How do I quantize a model?": "zigllm quantize",
    "How can I chat with a model?": "zigllm chat",
    "Thank you!": "welcome|pleasure|gladly",
    "Good night!": "night",
    "What is the capital of France?": "not know|never learned",
    "Tell me a story about a camel.": "know nobody like that|Nobody like that lives",
    "Tell me a story about a zebra.": "know nobody like that|Nobody like that lives",
}
"""Questions, and what is looked for in an answer."""

SUMS = {f"What is {a} + {b}?": a + b for a in range(11) for b in range(11)}
SUMS |= {f"What is {a + b} - {b}?": a for a in range(10) for b in range(10)}
SUMS |= {f"What is {a} * {b}?": a * b for a in range(1, 6) for b in range(1, 6)}
"""All that its texts have, and their results."""


def answer(model: Any, *turns: str) -> str:
    """What it says to the last of these turns."""
    prompt, said = "", ""
    for turn in turns:
        prompt += f"<|im_start|>user\n{turn}<|im_end|>\n<|im_start|>assistant\n"
        ids = model.tokenizer.encode(prompt, add_special=False, parse_special=True)
        said = "".join(model.generate(ids, max_tokens=330, temperature=0.0))
        prompt += f"{said}<|im_end|>\n"
    return said


def story(model: Any, seed: int) -> str:
    """How it goes on with "Once upon a time"."""
    return STORY + "".join(model.generate(STORY, max_tokens=400, seed=seed))


def asked_story(model: Any, *kinds: str) -> str:
    """Its story about those."""
    return answer(model, f"Tell me a story about {' and '.join(f'a {kind}' for kind in kinds)}.")


def names(text: str) -> set[str]:
    """Those of the village who are in a text."""
    return set(re.findall(r"[A-Z][a-z]+", text)) & set(NAMES.values())


def confusion(text: str, *kinds: str) -> str:
    """What is wrong with the people of a story that should be about some kinds; empty: nothing."""
    if len(names(text)) != 2:
        return f"about {len(names(text))} people"
    absent = [kind for kind in kinds if NAMES[kind] not in names(text)]
    if absent:
        return f"without the {absent[0]}"
    called = re.findall(r"([A-Z][a-z]+) the ([a-z]+)", text)
    called += [(name, kind) for kind, name in re.findall(r"([a-z]+) (?:called|named) (\w+)", text)]
    wrong = [f"{name} the {kind}" for name, kind in called if NAMES.get(kind, name) != name]
    return ", ".join(wrong)


def mistake(model: Any, question: str) -> str:
    """Its answer, if that is wrong."""
    said = answer(model, question)
    wanted = ANSWERS.get(question) or rf"\b{SUMS[question]}\b"
    return "" if re.search(wanted, said, re.IGNORECASE) else said


def count(title: str, cases: Iterable[Any], wrong: Callable[[Any], str]) -> None:
    """Print how many of the cases are right, and what is wrong with the others."""
    faults = {case: wrong(case) for case in cases}
    print(f"{title}: {list(faults.values()).count('')} of {len(faults)}", flush=True)
    for case, fault in faults.items():
        if fault:
            print(f"    {case}: {fault[:100]}")


def main() -> None:
    import zigllm_cli

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--seeds", type=int, default=30, metavar="N")
    options = parser.parse_args()
    model = zigllm_cli.load(options.model)
    count("stories begun", range(options.seeds), lambda seed: confusion(story(model, seed)))
    count("stories about one", NAMES, lambda kind: confusion(asked_story(model, kind), kind))
    count("stories about two", PAIRS, lambda pair: confusion(asked_story(model, *pair), *pair))
    count("answers", ANSWERS, lambda question: mistake(model, question))
    count("sums", SUMS, lambda question: mistake(model, question))


if __name__ == "__main__":
    main()
