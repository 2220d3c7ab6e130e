r"""From a pattern to a function that cuts a text into its matches and what lies between them.

Patterns are written for the `regex` module (version 1), whose classes such as `\p{L}` the standard
`re` lacks. A text of ASCII characters alone does not need them, and `re` takes a third of the
time: 0.03 s for a MB of English with GPT-2's pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

Cutter = Callable[[str], list[str]]

_NEWER = (
    "557-558 58B-58C 5C8-5CF 88F 892-897 B4E-B54 C5B-C5C CD7-CDC 1ACF-1AFF 1B4D-1B4F 1B7F"
    " 1C89-1C8F 208F 209D-209F 20C1-20CF 2427-243F 2B96 2E5E-2E7F 31E4-31EE A7CB-A7CF A7D2 A7D4"
    " A7DA-A7F1 AB6C-AB6F FBC3-FBD2 FD90-FD91 FDC8-FDCE 105BD-105FF 107BB-107FF 10940-1097F"
    " 10D3A-10E5F 10EB2-10EFC 11375-113FF 116CA-116FF 11B0A-11BFF 11DAA-11EDF 11F5A-11FAF 1246F"
    " 12475-1247F 12544-12F8F 13456-143FF 14647-167FF 16B90-16E3F 16E9B-16EFF 16FF2-16FFF"
    " 187F8-187FF 18CD6-18CFF 18D09-1AFEF 1B123-1B131 1B168-1B16F 1BCA4-1CEFF 1D127-1D128"
    " 1D1EB-1D1FF 1D246-1D2BF 1D6A6-1D6A7 1DAB0-1DEFF 1DF1F-1DF24 1DF2B-1DFFF 1E4FA-1E7DF"
    " 1F1AE-1F1E5 1F6D8-1F6DB 1F777-1F77A 1F7DA-1F7DF 1F7F1-1F7FF 1F8B2-1F8FF 1FA54-1FA5F"
    " 1FA89-1FA8F 1FABE 1FAC6-1FACD 1FADC-1FADF 1FAE9-1FAEF 1FAF9-1FAFF 1FBCB-1FBEF 1FBFA-1FFFF"
    " 2B73A-2B73F 2B81E-2B81F 2CEA2-2CEAF 323B0-E0000"
)
"""Where Unicode has characters since 15.1, the version of llama.cpp's tables. For llama.cpp they
belong to no class: neither letters nor marks, numbers, punctuation or symbols."""

_ASCII_CLASSES = {
    r"\p{L}": "A-Za-z",
    r"\p{M}": "",
    r"\p{N}": "0-9",
    r"\p{P}": r"!-#%-*,\-./:;?@\[-\]_{}",
    r"\p{S}": r"$+<=>\^`|\~",
}

BEYOND = r"^\x00-\x7f"
"""Inside of a class that no ASCII character is in."""

_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*\]|\\p\{\w\}")


def chars(ranges: str) -> str:
    r"""The inside of a [character class]: "61-7A 5F" becomes "\U00000061-\U0000007A\U0000005F"."""
    return re.sub(r"[0-9A-F]+", lambda point: rf"\U{point[0]:0>8}", ranges).replace(" ", "")


@cache
def cutter(pattern: str, complete: bool = False) -> Cutter:
    """Cuts any text at the matches of `pattern`; `complete` says that nothing lies between them."""
    import regex  # takes 0.03 s, and only byte-level BPE needs it

    exact = re.sub(r"\\p\{\w\}", lambda found: f"[{found[0]}--{_newer_class()}]", pattern)
    words = regex.compile(exact, regex.VERSION1)
    return _cut_with(words, None if complete else regex.compile(f"({exact})", regex.VERSION1))


@cache
def ascii_cutter(pattern: str, complete: bool = False) -> Cutter:
    """`cutter` for a text of ASCII characters."""
    plain = _CLASS.sub(_plain_class, pattern)
    if "--" in plain or "&&" in plain:  # differences and intersections of classes
        return cutter(pattern, complete)
    words = re.compile(plain, re.ASCII)
    return _cut_with(words, None if complete else re.compile(f"({plain})", re.ASCII))


def _cut_with(words: Any, words_and_gaps: Any | None) -> Cutter:
    find_all: Cutter = words.findall
    if words_and_gaps is None:
        return find_all
    split = words_and_gaps.split
    may_be_empty = words.match("") is not None

    def cut(text: str) -> list[str]:
        if not may_be_empty:
            found = find_all(text)
            if len("".join(found)) == len(text):  # no gaps; the other way takes twice the time
                return found
        return [piece for piece in split(text) if piece]

    return cut


def _plain_class(match: re.Match[str]) -> str:
    if match[0][0] == "[":
        return re.sub(r"\\p\{\w\}", lambda found: _ASCII_CLASSES[found[0]], match[0])
    return f"[{_ASCII_CLASSES[match[0]] or BEYOND}]"


@cache
def _newer_class() -> str:
    """A character class of `_NEWER`.

    Groups of ranges stand behind a test for the range that they span: a common letter is done
    after one or two comparisons, and English text takes 0.1 s per MB instead of 0.3.
    """
    ranges = _NEWER.split()
    groups = [ranges[start : start + 9] for start in range(0, len(ranges), 9)]
    members = "".join(_behind_span(group, chars(" ".join(group))) for group in groups)
    return _behind_span(ranges, members)


def _behind_span(ranges: list[str], members: str) -> str:
    first, last = ranges[0].partition("-")[0], ranges[-1].rpartition("-")[2]
    return f"[[{chars(f'{first}-{last}')}]&&[{members}]]"
