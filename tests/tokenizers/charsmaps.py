"""Normalisation rules in SentencePiece's packed format, built from a dictionary."""

from __future__ import annotations

from typing import Any

RULES = {
    **{"ﬁ": "fi", "①": "1", "½": "5", "²": "2", "™": "TM", "…": "...", "！": "!", "ｶﾞ": "ガ"},
    **{"e\u0301": "é", "é": "é", "и\u0306": "й", "\u3000": " ", "\xa0": " ", "\t": " ", "\n": " "},
    **{"\r": " ", "\u200b": "", "\x7f": "", "\x01": "", "か\u3099": "が", "abc": "ABC", "ab": "aB"},
    **{"abcab cab": "long", "x1": " y", "\u2009": "  ", "豈": "豈", "\ufeff": "", "😀": "\u2581"},
}
"""Rules of a normalisation: a longer key wins, some look beyond a space."""


def charsmap(rules: dict[str, str] = RULES) -> bytes:
    """`rules` as a `precompiled_charsmap`: the double array and the replacements."""
    replacements, offsets = bytearray(), {}
    for key, text in rules.items():
        offsets[key.encode()] = len(replacements)
        replacements += text.encode() + b"\0"
    units = double_array(offsets)
    packed = b"".join(unit.to_bytes(4, "little") for unit in units)
    return len(packed).to_bytes(4, "little") + packed + bytes(replacements)


def double_array(keys: dict[bytes, int]) -> list[int]:
    """A trie in the format of darts-clone: label, leaf bit, and where the children begin."""
    trie: dict[int, Any] = {}
    for key, value in keys.items():
        node = trie
        for byte in key:
            node = node.setdefault(byte, {})
        node[0] = value  # label 0: the key ends here
    units, bases = {0: 0}, {0}
    waiting = [(0, trie)]
    while waiting:
        place, node = waiting.pop()
        base = next(
            base
            for base in range(1, 1 << 20)
            if base not in bases and not any(base ^ label in units for label in node)
        )
        bases.add(base)
        units[place] |= (place ^ base) << 10 | (1 << 8 if 0 in node else 0)
        for label, child in node.items():
            units[base ^ label] = label if label else child | 1 << 31
            if label:
                waiting.append((base ^ label, child))
    size = (max(units) | 255) + 1
    return [units.get(index, 0) for index in range(size)]
