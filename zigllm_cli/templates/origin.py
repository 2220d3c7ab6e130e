"""Text that knows where each of its characters comes from: the template, or a message.

A `Traced` is a `str` in every respect, with a mark per character beside it. Operations that
templates use on text carry the marks along: adding, slicing, splitting, stripping, joining,
replacing, formatting. Where an operation makes text of which it can't be told which character
comes from where (JSON, upper case of "ß"), all of it counts as content as soon as some is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from string import Formatter
from typing import Any, SupportsIndex

TEMPLATE, CONTENT = b"\0", b"\1"
"""The mark of one character."""

_CONVERSION = re.compile(r"%(?:\((?P<key>[^)]*)\))?[-#0 +]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[hlL]?(.)")


class Traced(str):
    """A text with the origin of each character.

    Attributes:
        marks: as many bytes as characters, TEMPLATE or CONTENT each.
    """

    __slots__ = ("marks",)
    marks: bytes

    def __new__(cls, text: str, marks: bytes) -> Traced:
        self = super().__new__(cls, text)
        self.marks = marks
        return self

    def __str__(self) -> str:
        return self

    def __reduce__(self) -> Any:
        return Traced, (plain(self), self.marks)

    # ------------------------------------------------------------------ parts

    def __getitem__(self, index: SupportsIndex | slice) -> Traced:
        part = super().__getitem__(index)
        if isinstance(index, slice):
            return Traced(part, self.marks[index])
        place = index.__index__()
        return Traced(part, self.marks[place:][:1])

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def strip(self, chars: str | None = None, /) -> Traced:
        return self.lstrip(chars).rstrip(chars)

    def lstrip(self, chars: str | None = None, /) -> Traced:
        return self[len(self) - len(super().lstrip(chars)) :]

    def rstrip(self, chars: str | None = None, /) -> Traced:
        return self[: len(super().rstrip(chars))]

    def removeprefix(self, prefix: str, /) -> Traced:
        return self[len(prefix) :] if self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> Traced:
        return self[: len(self) - len(suffix)] if self.endswith(suffix) else self

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._located(super().split(sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._located(super().rsplit(sep, maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[str]:
        lines: list[str] = []
        stop = 0
        for whole, line in zip(super().splitlines(True), super().splitlines(keepends), strict=True):
            lines.append(self[stop : stop + len(line)])
            stop += len(whole)
        return lines

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        head, found, _ = super().partition(sep)
        cut = len(head)
        return self[:cut], self[cut : cut + len(found)], self[cut + len(found) :]

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        head, found, _ = super().rpartition(sep)
        cut = len(head)
        return self[:cut], self[cut : cut + len(found)], self[cut + len(found) :]

    def _located(self, parts: list[str], sep: str | None) -> list[str]:
        """Parts that follow each other in this text, with a separator or spaces between."""
        found: list[str] = []
        place = 0
        for part in parts:
            start = self.find(part, place) if sep is None else place
            found.append(self[start : start + len(part)])
            place = start + len(part) + len(sep or "")
        return found

    # ------------------------------------------------------------------ compounds

    def __add__(self, other: str, /) -> Traced:
        return joined((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str, /) -> Traced:
        return joined((other, self)) if isinstance(other, str) else NotImplemented

    def __mul__(self, count: SupportsIndex, /) -> Traced:
        return Traced(super().__mul__(count), self.marks * count.__index__())

    __rmul__ = __mul__

    def join(self, parts: Iterable[str], /) -> Traced:
        pieces: list[str] = []
        for part in parts:
            if not isinstance(part, str):
                raise TypeError(f"only texts can be joined, not {type(part).__name__}")
            pieces += (self, part) if pieces else (part,)
        return joined(pieces)

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> Traced:
        limit = count.__index__()
        if old == "":
            pieces: list[str] = [new, *(piece for c in self for piece in (c, new))]
            if 0 <= limit <= len(self):
                pieces = [*pieces[: 2 * limit], self[limit:]]
            return joined(pieces)
        pieces, place = [], 0
        while limit and (found := self.find(old, place)) >= 0:
            pieces += (self[place:found], new)
            place, limit = found + len(old), limit - 1
        return joined([*pieces, self[place:]])

    def __mod__(self, values: Any, /) -> Traced:
        pieces: list[str] = []
        place, used = 0, 0
        for match in _CONVERSION.finditer(self):
            pieces.append(self[place : match.start()])
            place = match.end()
            stars = match.group().count("*") + (match.group(2) != "%")
            if match["key"] is not None:
                part: Any = values
            else:
                row = values if isinstance(values, tuple) else (values,)
                part, used = row[used : used + stars], used + stars
            pieces.append(_formatted(match.group(), part))
        rest = self[place:]
        if "%" in rest or (isinstance(values, tuple) and used < len(values)):
            return _lifted(plain(self) % values, values)  # the error that it is
        return joined([*pieces, rest])

    def __rmod__(self, template: str, /) -> Traced:
        return Traced(template, TEMPLATE * len(template)) % self

    # ------------------------------------------------------------------ changed characters

    def _changed(self, text: str) -> Traced:
        return Traced(text, self.marks if len(text) == len(self) else self._whole(len(text)))

    def _whole(self, length: int) -> bytes:
        return (CONTENT if CONTENT in self.marks else TEMPLATE) * length

    def _padded(self, text: str) -> Traced:
        """Spaces or zeros around; a text that was changed inside as well is all of one kind."""
        left = text.find(self)
        if left < 0:
            return self._changed(text)
        right = len(text) - left - len(self)
        return Traced(text, TEMPLATE * left + self.marks + TEMPLATE * right)


def _override(name: str, finish: Callable[[Traced, str], Traced]) -> None:
    original = getattr(str, name)

    def method(self: Traced, *args: Any, **kwargs: Any) -> Traced:
        return finish(self, original(self, *args, **kwargs))

    method.__name__ = name
    setattr(Traced, name, method)


for _name in ("upper", "lower", "title", "capitalize", "swapcase", "casefold", "translate"):
    _override(_name, Traced._changed)
for _name in ("center", "ljust", "rjust", "zfill", "expandtabs"):
    _override(_name, Traced._padded)


class TracedFormatter(Formatter):
    """`str.format` piece by piece.

    Args:
        get_field: finds the value of a field, as a sandbox allows it.
    """

    def __init__(self, get_field: Callable[[str, Any, Any], Any]) -> None:
        super().__init__()
        self._get_field = get_field

    def run(self, template: Traced, args: Any, kwargs: Mapping[str, Any]) -> Traced:
        """The text; origin is known to the level of whole fields."""
        return joined(self._pieces(template, args, kwargs, [0]))

    def _pieces(
        self, template: Traced, args: Any, kwargs: Mapping[str, Any], counter: list[int]
    ) -> Iterator[str]:
        whole = Traced("", b"")._whole(0) if not template else template._whole(1)
        for literal, name, spec, conversion in self.parse(template):
            yield Traced(literal, whole * len(literal))
            if name is None:
                continue
            if name == "" or name[0] in ".[":
                name, counter[0] = f"{counter[0]}{name}", counter[0] + 1
            value, _ = self._get_field(name, args, kwargs)
            if conversion:
                value = _lifted(self.convert_field(value, conversion), value)
            inner = Traced(spec or "", whole * len(spec or ""))
            form = plain(joined(self._pieces(inner, args, kwargs, counter))) if spec else ""
            if isinstance(value, Traced) and form in ("", "s"):
                yield value
            else:
                yield _lifted(self.format_field(value, form), value)


def _formatted(conversion: str, values: Any) -> str:
    """One conversion of `%`; a text that is only copied keeps its marks."""
    if conversion == "%s" and values and isinstance(values[0], Traced):
        return values[0]
    return _lifted(conversion % values, values)


def _lifted(text: str, source: Any) -> Traced:
    """`text` that was made from `source` in some way."""
    return Traced(text, (CONTENT if has_content(source) else TEMPLATE) * len(text))


def plain(text: str) -> str:
    """The same characters without marks."""
    return str.__str__(text)


def joined(parts: Iterable[str]) -> Traced:
    """Texts one after the other; those without marks are the template's."""
    pieces = list(parts)
    marks = (p.marks if isinstance(p, Traced) else TEMPLATE * len(p) for p in pieces)
    return Traced("".join(pieces), b"".join(marks))


def as_text(value: Any) -> str:
    """What a template writes for a value."""
    return value if isinstance(value, str) else _lifted(str(value), value)


def from_content(value: Any) -> Any:
    """Plain data with every text in it, keys included, marked as content."""
    if isinstance(value, str):
        return Traced(value, CONTENT * len(value))
    if isinstance(value, Mapping):
        return {from_content(key): from_content(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [from_content(item) for item in value]
    return value


def has_content(value: Any) -> bool:
    """Whether some character in the value, however deep, comes from a message."""
    if isinstance(value, Traced):
        return CONTENT in value.marks
    if isinstance(value, Mapping):
        return any(has_content(key) or has_content(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(has_content, value))
    return False
