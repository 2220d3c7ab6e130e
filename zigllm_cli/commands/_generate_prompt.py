"""The prompt: where it comes from, escapes in it, and cutting it to the context."""

from __future__ import annotations

import re
from pathlib import Path

from zigllm_cli.commands._output import talk
from zigllm_cli.commands.tokenize import read_input
from zigllm_cli.errors import UsageError

CUTS = ("head", "middle")

_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{1,2}|[nrt'\"\\])")
_CHARACTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def read_prompt(text: str | None, file: Path | None, *, escapes: bool) -> str:
    r"""The prompt as an argument, from a file, or from standard input.

    One line feed at the end of a file or of standard input is the editor's or echo's, not the
    prompt's.
    """
    source = read_input(text, file)
    if text is None:
        source = source.removesuffix("\n").removesuffix("\r")
    return unescape(source) if escapes else source


def unescape(text: str) -> str:
    r"""\n, \r, \t, \', \", \\ and \xHH (a byte) replaced by what they mean."""
    raw = text.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_meaning, raw).decode("utf-8", "surrogateescape")


def _meaning(match: re.Match[bytes]) -> bytes:
    word = match.group(1)
    if word.startswith(b"x"):
        return bytes([int(word[1:], 16)])
    return _CHARACTERS.get(word, word)


def fit(
    ids: list[int], context: int, *, how: str | None, first: int, max_tokens: int | None
) -> list[int]:
    """Cut a prompt that is too long, if that was asked for.

    Room stays for what is to be generated: `max_tokens`, or a quarter of the context, but never
    more than half of it.

    Args:
        how: "head" takes tokens away at the start, "middle" in the middle; None refuses.
        first: tokens at the start that always stay (BOS and the like).
    """
    if how is not None and how not in CUTS:
        raise UsageError(f"--truncate {how!r} is unknown; use {' or '.join(CUTS)}")
    if how is None or len(ids) <= context:
        return ids
    wanted = context // 4 if max_tokens is None else max_tokens
    room = max(context - min(wanted, context // 2), first + 1)
    head = first if how == "head" else max(first, room // 2)
    talk(f"the prompt of {len(ids)} tokens was cut to {room}")
    return ids[:head] + ids[len(ids) - (room - head) :]
