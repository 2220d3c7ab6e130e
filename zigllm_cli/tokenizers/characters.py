"""Characters as llama.cpp sees them: Unicode 15.1, and its own idea of what is not UTF-8.

Python's `unicodedata` is older or newer, depending on the Python. The differences that matter
here are listed below, so that ids do not depend on it: measured over all code points against
Unicode 14.0 (Python 3.11) up to 18.0; no character known to 15.1 has changed since 14.0.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right

WHITE_SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Inside of a character class. `str.isspace` counts U+001C to U+001F too, llama.cpp does not."""

REPLACEMENT = "\ufffd"

MAX_CHARACTERS = 1 << 16
"""Characters whose mapping is remembered; no text in a human language has that many."""


def _ranges(text: str) -> list[tuple[int, int]]:
    pairs = (part.partition("-") for part in text.split())
    return [(int(first, 16), int(last or first, 16)) for first, _, last in pairs]


_ADDED = {
    "M": _ranges(
        "CF3 ECE 10EFD-10EFF 11241 11F00-11F01 11F03 11F34-11F3A 11F3E-11F42 13440"
        " 13447-13455 1E08F 1E4EC-1E4EF"
    ),
    "P": _ranges("11B00-11B09 11F43-11F4F"),
    "C": _ranges("13439-1343F"),
}
"""Marks, punctuation and controls that Unicode 15 added: Python 3.11 does not know them."""

_LATER = _ranges(
    "5C8-5C9 897 B53-B54 1ACF-1AF0 1B4E-1B4F 1B7F 1C89 2E60-2E63 A7CB-A7CE A7D2 A7D4 A7DA-A7E2"
    " AB6C-AB6D 105C9-105E4 10D50-10D6E 10ECB-10EFC 11383-113E2 11B60-11BE1 11DF0 11F5A"
    " 1611E-1612F 16D68-16D6F 16EA0-16EB8 1D127-1D128 1D250-1D281 1DF40-1DF7E 1E5EE-1E6F5"
)
"""Unassigned in 15.1; since then marks, punctuation, upper case or composed letters came there."""

_LATER_STARTS = [first for first, _ in _LATER]

_BROKEN = re.compile(
    "[\udcc0-\udcdf][\udc80-\udcbf]|[\udce0-\udcef][\udc80-\udcbf]{2}"
    "|[\udcf0-\udcf7][\udc80-\udcbf]{3}|[\udc80-\udcff]"
)
"""What llama.cpp's UTF-8 decoder reads as one character, or a byte that it gives up on."""


def category(character: str) -> str:
    """The first letter of the general category; "" for unassigned characters."""
    code = ord(character)
    if _is_later(code):
        return ""
    found = unicodedata.category(character)
    if found != "Cn":
        return found[0]
    return next(
        (name for name, ranges in _ADDED.items() if any(a <= code <= b for a, b in ranges)), ""
    )


def lower(character: str) -> str:
    """The one lower-case letter of a character."""
    return character if _is_later(ord(character)) else character.lower()[0]


def base(character: str) -> str:
    """The first character of the canonical decomposition: "é" becomes "e".

    llama.cpp calls it NFD, but keeps only this one.
    """
    if _is_later(ord(character)):
        return character
    return unicodedata.normalize("NFD", character)[0]


class _LowerCase(dict[int, str]):
    def __missing__(self, code: int) -> str:
        text = lower(chr(code))
        if len(self) < MAX_CHARACTERS:
            self[code] = text
        return text


_LOWER_CASE = _LowerCase()


def lowered(text: str) -> str:
    """`text` in lower case, character by character (`str.lower` looks around a Greek sigma)."""
    return text.lower() if text.isascii() else text.translate(_LOWER_CASE)


def repaired(text: str) -> str:
    """`text` without surrogate escapes where llama.cpp's lenient decoder has an answer.

    It takes overlong sequences for the characters they spell, and any other byte that does not
    fit for U+FFFD. Encoded surrogates and numbers above U+10FFFF, which it takes as they are,
    stay as they came: one escape per byte.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return _BROKEN.sub(lambda match: _decoded(match[0]), text)
    return text


def _decoded(escapes: str) -> str:
    lead, *rest = escapes.encode("utf-8", "surrogateescape")
    if not rest:
        return REPLACEMENT
    code = lead & (0x3F >> len(rest))
    for byte in rest:
        code = code << 6 | byte & 0x3F
    return escapes if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code)


def _is_later(code: int) -> bool:
    at = bisect_right(_LATER_STARTS, code) - 1
    return at >= 0 and code <= _LATER[at][1]
