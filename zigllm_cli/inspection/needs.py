"""The small language in which `expected` says what an architecture needs.

A word of the table is a tensor, `attn_q` meaning `attn_q.weight`; after it may follow

    ?      the whole tensor is optional (but then in every block or in none)
    :wb    weight and bias        :wb?   weight, the bias optional
    :b     bias only              :-     the bare name, without a suffix
    #      one tensor for each expert: `ffn_up.#` is `ffn_up.0.weight`, `ffn_up.1.weight`, ...

`( a b | c )` is a choice: a and b, or c. Keys are those behind `{architecture}.`; a leading dot
marks a whole key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WORD = re.compile(r"([a-z0-9_.#]+)(\?)?(?::(wb\??|b|-))?")


@dataclass(frozen=True)
class Needs:
    """One architecture.

    Attributes:
        keys: besides `COMMON_KEYS`.
        whole: tensors of the model as a whole.
        block: tensors of every block, behind `blk.N.`.
        dense: in blocks without experts; experts: in blocks with them.
    """

    keys: str
    whole: str
    block: str
    dense: str = ""
    experts: str = ""


@dataclass(frozen=True)
class Item:
    """One tensor name of the table.

    Attributes:
        needs: another name without which this one is not asked for, or "".
    """

    name: str
    is_required: bool
    needs: str = ""


@dataclass(frozen=True)
class Choice:
    """Alternatives, each a list of items and further choices."""

    options: tuple[tuple[Item | Choice, ...], ...]


Rule = Item | Choice


def rules(text: str) -> tuple[Rule, ...]:
    """The rules that a cell of the table means."""
    words = text.split()
    found, position = _sequence(words, 0)
    if position != len(words):
        raise ValueError(f"unbalanced parentheses in {text!r}")
    return found


def _sequence(words: list[str], position: int) -> tuple[tuple[Rule, ...], int]:
    found: list[Rule] = []
    while position < len(words) and words[position] not in ("|", ")"):
        if words[position] == "(":
            options = []
            while words[position] != ")":
                option, position = _sequence(words, position + 1)
                options.append(option)
            found.append(Choice(tuple(options)))
        else:
            found += _items(words[position])
        position += 1
    return tuple(found), position


def _items(word: str) -> list[Rule]:
    match = WORD.fullmatch(word)
    if match is None:
        raise ValueError(f"{word!r} is not a word of the table")
    name, optional, suffix = match.groups()
    if suffix == "-":
        return [Item(name, not optional)]
    if suffix == "b":
        return [Item(f"{name}.bias", not optional)]
    weight = f"{name}.weight"
    items: list[Rule] = [Item(weight, not optional)]
    if suffix is not None:
        items.append(Item(f"{name}.bias", suffix == "wb", weight if optional else ""))
    return items
