"""GPT-2's way to write any byte as a visible character (Radford et al. 2019).

Printable Latin-1 characters stand for themselves; the other 68 bytes take U+0100, U+0101 ... in
order, so that a space is "Ġ" and a line feed "Ċ".
"""

from __future__ import annotations

_VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(256) if byte not in _VISIBLE]

TO_VISIBLE: dict[int, str] = {byte: chr(0x100 + i) for i, byte in enumerate(_HIDDEN)}
"""`str.translate` table from bytes decoded as Latin-1; visible ones are absent."""

TO_BYTE: dict[str, int] = {chr(byte): byte for byte in _VISIBLE} | {
    character: byte for byte, character in TO_VISIBLE.items()
}

_SPACE = TO_VISIBLE[0x20]


def visible(text: str) -> str:
    """`text` with every UTF-8 byte (or escaped byte) as one visible character."""
    if text.isascii() and text.isprintable():
        return text.replace(" ", _SPACE)
    return text.encode("utf-8", "surrogateescape").decode("latin-1").translate(TO_VISIBLE)


def original(text: str) -> bytes:
    """The bytes behind visible characters.

    A character that stands for no byte (some vocabularies hold such tokens) keeps its UTF-8.
    """
    try:
        return bytes([TO_BYTE[character] for character in text])
    except KeyError:
        return b"".join(
            bytes([TO_BYTE[character]])
            if character in TO_BYTE
            else character.encode("utf-8", "surrogateescape")
            for character in text
        )
