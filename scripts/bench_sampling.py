"""How long choosing a token takes beside evaluating it, and what guessing ahead is worth.

python scripts/bench_sampling.py                          # 150,000 random logits
python scripts/bench_sampling.py --vocabulary FILE.gguf   # masks of constraints as well
      [--grammar FILE.gbnf ...]                           # of llama.cpp's grammars, too
python scripts/bench_sampling.py --model FILE.gguf        # decoding with and without guesses
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import zigllm_cli
from zigllm_cli.sampling import Candidates, Sampling, State

CHAINS = {
    "default": {},
    "greedy": {"temperature": 0.0},
    "no top-k": {"top_k": 0},
    "all penalties": {"repeat_penalty": 1.1, "presence_penalty": 0.1, "dry_multiplier": 0.8},
    "typical": {"top_k": 0, "typical": 0.9},
    "mirostat 2": {"mirostat": 2},
}

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}

GBNF = r"""
root   ::= object
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}"
array  ::= "[" ws (value ("," ws value)*)? "]"
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" ["\\bfnrt])* "\""
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]+)?
ws     ::= " "?
"""

TEXT = '{"name": "Anna Karenina the great", "age": 31, "tags": ["one fine day", "two", "three"]}'

EXAMPLES = {
    "arithmetic": "3 +4 *(b -2 )=7 \n",
    "c": "int main(){int x = 5;x = x+12;return x;}",
    "chess": "1. e4 e5\n2. Nf3 Nc6\n",
    "english": "This is a sentence of words. And one more, too.",
    "japanese": "これはテストです",
    "json": TEXT,
    "json_arr": '[\n{"name": "Anna Karenina the great", "age": 31},\n{"tags": ["one fine day"]}]',
    "list": "- first thing to do\n- second thing\n",
}
"""Texts that fit the grammars in llama.cpp's folder `grammars`, by their names."""

REPEATING = "Copy this line: the quick brown fox jumps over the lazy dog.\n" * 3


def milliseconds(run: Callable[[], Any], times: int) -> float:
    """The median of so many runs."""
    run()
    taken = []
    for _ in range(times):
        start = perf_counter()
        run()
        taken.append(perf_counter() - start)
    return 1000 * float(np.median(taken))


def chains(size: int) -> None:
    """Time per token of each chain, over rows that look like a model's."""
    rng = np.random.default_rng(0)
    rows = [(rng.standard_normal(size) * 3).astype(np.float32) for _ in range(8)]
    tokens = rng.integers(0, size, 200).tolist()
    for name, settings in CHAINS.items():
        chain = Sampling(seed=1, **settings).chain()
        turns = cycle(rows)
        took = milliseconds(lambda c=chain, t=turns: c.sample(next(t), tokens), 200)
        print(f"{name:<16}{took:8.3f} ms per token of {size} logits")


def masks(path: str, grammars: list[Path]) -> None:
    """Time per mask of a schema and of grammars, along texts that fit them; best of three.

    Printed as a table in Markdown: milliseconds to read a grammar, to make the automaton of a
    sequence, for the first mask, and per token.
    """
    from zigllm_cli.grammar import Constraint, from_gbnf, from_json_schema, tokens_of

    tokenizer = zigllm_cli.load(path).tokenizer
    start = perf_counter()
    import llguidance  # noqa: F401

    print(f"import          {1000 * (perf_counter() - start):8.1f} ms")
    start = perf_counter()
    vocabulary = tokens_of(tokenizer)
    print(f"vocabulary      {1000 * (perf_counter() - start):8.1f} ms, {len(tokenizer)} tokens")
    everything = Candidates.of(np.zeros(len(tokenizer), np.float32))
    state = State([], np.random.default_rng(0), len(tokenizer))

    def times(build: Callable[[], Any], ids: list[int]) -> list[float]:
        took = [perf_counter()]
        grammar = build()
        took.append(perf_counter())
        constraint = Constraint(vocabulary, grammar)
        took.append(perf_counter())
        took = np.diff(took).tolist()
        for token in ids:
            start = perf_counter()
            constraint.apply(everything, state)
            took.append(perf_counter() - start)
            constraint.accept(token, everything)
        return took

    cases: list[tuple[str, Callable[[], Any], str]] = [
        ("JSON schema", lambda: from_json_schema(json.dumps(SCHEMA)), TEXT),
        ("GBNF", lambda: from_gbnf(GBNF, tokenizer), TEXT),
    ]
    for file in grammars:
        source = file.read_text("utf-8")
        cases.append(
            (file.name, lambda text=source: from_gbnf(text, tokenizer), EXAMPLES[file.stem])
        )
    print("| grammar | tokens | read | begin | first | mean | p50 | p95 | most |")
    print("|" + "---|" * 9)
    for name, build, text in cases:
        ids = tokenizer.encode(text, add_special=False)
        read, begin, *each = 1000 * np.min([times(build, ids) for _ in range(3)], axis=0)
        middle, high = np.percentile(each, [50, 95])
        print(
            f"| {name} | {len(ids)} | {read:.0f} | {begin:.1f} | {each[0]:.2f} | "
            f"{np.mean(each):.2f} | {middle:.2f} | {high:.2f} | {max(each):.2f} |"
        )


def guesses(path: str, count: int) -> None:
    """Tokens per second on a text that repeats itself, with and without prompt lookup."""
    from zigllm_cli.engine.drafting import NgramDrafter

    model = zigllm_cli.load(path, ctx=1024)
    ids = model.prompt_ids(REPEATING)
    rates, texts = {}, {}
    for name, make in (("plain", lambda: None), ("guessing", NgramDrafter)) * 2:
        session = model.session()
        sampling = Sampling(temperature=0, ignore_eos=True)
        text = model.continue_from(session, ids, sampling, max_tokens=count, drafter=make())
        texts[name] = "".join(text)
        rates[name] = text.timings.decode_rate
        session.close()
        if text.timings.drafted:
            print(f"{text.timings.accepted} of {text.timings.drafted} guesses came true")
    assert texts["plain"] == texts["guessing"]
    print(f"{rates['plain']:.1f} tokens/s, with guesses {rates['guessing']:.1f}; the same text")


def steps(path: str) -> None:
    """Time of steps of a few tokens, behind 100 others."""
    session = zigllm_cli.load(path, ctx=512).session()
    session.eval(range(5, 105))

    def step(count: int) -> None:
        session.eval_all(range(5, 5 + count))
        session.truncate(100)

    for count in range(1, 9):
        print(f"{count} tokens  {milliseconds(lambda n=count: step(n), 7):8.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=150_000)
    parser.add_argument("--vocabulary")
    parser.add_argument("--grammar", type=Path, nargs="*", default=[])
    parser.add_argument("--model")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("-n", type=int, default=128)
    options = parser.parse_args()
    if options.model and options.steps:
        steps(options.model)
    elif options.model:
        guesses(options.model, options.n)
    elif options.vocabulary:
        masks(options.vocabulary, options.grammar)
    else:
        chains(options.size)


if __name__ == "__main__":
    main()
