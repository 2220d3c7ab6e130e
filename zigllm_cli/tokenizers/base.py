"""What all tokenizers share: special tokens cut out first, BOS and EOS around, ids back to text.

A kind of tokenizer (one file each) adds `encode_text`, from a piece of ordinary text to ids, and,
where it spells tokens its own way, `token_bytes`, from one id to the bytes it stands for. Text is
`str`; bytes of a file that are not UTF-8 arrive as surrogate escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.tokenizers.explain import Explanation
from zigllm_cli.tokenizers.stream import TextStream
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType, Vocabulary

ASCII_SPACE = " \t\n\v\f\r"

Fragment = str | int
"""A piece of ordinary text, or the id of a special token found in it."""

Span = tuple[int, int]
"""Start and stop of a stretch of text."""

_Piece = tuple[str, str] | int
"""Like a `Fragment`, with a copy in which control tokens are looked for."""

MASK = "\U0010ffff"
"""Stands in such a copy for every character that can't be part of a control token; no character
itself, it is part of no token's text."""


class Tokenizer:
    """Text to token ids and back, exactly as the model was trained to see them.

    Attributes:
        vocabulary: the tokens and the ids with a meaning.
        lossless: whether `decode(encode(text)) == text` for every text without special tokens.
    """

    lossless = True

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        defaults = vocabulary.defaults
        self.add_bos = vocabulary.flag("add_bos_token", defaults.add_bos)
        self.add_eos = vocabulary.flag("add_eos_token", defaults.add_eos)
        self.add_sep = vocabulary.flag("add_sep_token", defaults.add_sep)
        self._tables: dict[bool, re.Pattern[str] | None] = {}

    # ------------------------------------------------------------------ what a kind provides

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a non-empty piece of ordinary text.

        `after_special` is true at the start of the text and behind a special token.
        """
        raise NotImplementedError

    def token_bytes(self, token: int) -> bytes:
        """The bytes that an ordinary (not special) token stands for.

        As most kinds spell it: `<0xXX>` is a byte, U+2581 in a text is a space.
        """
        kind = self.vocabulary.types[token]
        if kind == TokenType.BYTE:
            return bytes([self.vocabulary.byte_of(token)])
        if kind == TokenType.NORMAL:
            return to_bytes(self.vocabulary.tokens[token].replace(SPACE, " "))
        return b""

    def explain_text(self, text: str, *, after_special: bool) -> list[Explanation]:
        """`encode_text` in steps; kinds that cut or merge say more."""
        return [Explanation(text, self.encode_text(text, after_special=after_special))]

    # ------------------------------------------------------------------ what everybody uses

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(
        self, text: str, *, add_special: bool = True, parse_special: bool = False
    ) -> list[int]:
        """Token ids of `text`.

        Args:
            add_special: put BOS, EOS or SEP around, as the model's file asks for.
            parse_special: recognise control tokens such as `<|im_start|>` in the text;
                otherwise they are ordinary text. User-defined tokens are always recognised.
        """
        body = self.encode_part(text, parse_special=parse_special)
        return [*self.prefix, *body, *self.suffix] if add_special else body

    def encode_part(
        self, text: str, *, after_special: bool = True, parse_special: bool = False
    ) -> list[int]:
        """Token ids of a part of a text, with nothing around them.

        Args:
            after_special: whether the part stands at the start of the text or behind a special
                token, where some kinds put a space.
            parse_special: as for `encode`.
        """
        ids: list[int] = []
        for fragment in self.fragments(text, parse_special=parse_special):
            if isinstance(fragment, int):
                ids.append(fragment)
                after_special = True
            else:
                ids += self.encode_text(fragment, after_special=after_special)
                after_special = False
        return ids

    def encode_prompt(
        self, text: str, content: Sequence[Span] = (), *, after_special: bool = True
    ) -> list[int]:
        """Token ids of a rendered prompt, with no BOS but what stands in the text.

        Control tokens are recognised, except in stretches that come from somebody's message:
        there they are ordinary text, which may share tokens with what stands beside it.

        Args:
            content: start and stop of each such stretch.
            after_special: whether the text begins a sequence or follows a special token.
        """
        body: list[int] = []
        for fragment in self.fragments(text, parse_special=True, content=content):
            if isinstance(fragment, int):
                body.append(fragment)
            else:
                body += self.encode_text(fragment, after_special=after_special)
            after_special = isinstance(fragment, int)
        return body

    def explain(self, text: str, *, parse_special: bool = False) -> list[Explanation]:
        """How the ids of `text` come about: one entry per special token and pre-token."""
        entries: list[Explanation] = []
        after_special = True
        for fragment in self.fragments(text, parse_special=parse_special):
            if isinstance(fragment, int):
                entries.append(Explanation(self.vocabulary.tokens[fragment], [fragment]))
            else:
                entries += self.explain_text(fragment, after_special=after_special)
            after_special = isinstance(fragment, int)
        return entries

    def decode(self, ids: Iterable[int], *, render_special: bool = False) -> str:
        """The text of a sequence of ids; bytes that are not UTF-8 become U+FFFD.

        Control tokens print nothing unless `render_special`. The one space that the tokenizer
        put in front of the text is taken away again.
        """
        stream = self.stream(render_special=render_special)
        return "".join(map(stream.push, ids)) + stream.close()

    def stream(self, *, render_special: bool = False) -> TextStream:
        """A decoder for ids that come one by one; see `TextStream`."""
        return TextStream(
            lambda token: self.piece(token, render_special=render_special),
            drop_space=self.drops_leading_space,
        )

    def piece(self, token: int, *, render_special: bool = True) -> bytes:
        """The bytes of one token as it stands inside a text.

        Raises:
            UsageError: the id is outside the vocabulary.
        """
        vocabulary = self.vocabulary
        if not 0 <= token < len(vocabulary):
            raise UsageError(
                f"token id {token} is outside the vocabulary of {len(vocabulary)} tokens"
            )
        kind = vocabulary.types[token]
        if kind in (TokenType.CONTROL, TokenType.UNKNOWN):
            return to_bytes(vocabulary.tokens[token]) if render_special else b""
        if kind == TokenType.USER_DEFINED:
            return to_bytes(vocabulary.tokens[token])
        return self.token_bytes(token)

    @property
    def drops_leading_space(self) -> bool:
        """Whether `decode` removes one space from the start of the text."""
        return self.vocabulary.add_space_prefix

    @cached_property
    def prefix(self) -> list[int]:
        """Ids put in front of a text."""
        return [self._required("bos")] if self.add_bos else []

    @cached_property
    def suffix(self) -> list[int]:
        """Ids put behind a text."""
        return [self._required("eos")] if self.add_eos else []

    def _required(self, name: str) -> int:
        try:
            return self.vocabulary.special[name]
        except KeyError:
            raise InputError(
                f"the file wants a {name.upper()} token added, but names none in the vocabulary"
            ) from None

    # ------------------------------------------------------------------ special tokens

    def fragments(
        self, text: str, *, parse_special: bool, content: Sequence[Span] = ()
    ) -> list[Fragment]:
        """Cut special tokens out of `text`: the longest token first, each from left to right.

        In the stretches of `content` control tokens are not recognised.
        """
        if not text:
            return []
        table = self._special_table(parse_special)
        if table is None or not table.search(text):
            return [text]
        masked = _masked(text, content)
        pieces: list[_Piece] = [(text, masked)]
        for token in self.vocabulary.special_tokens:
            wanted = self.vocabulary.tokens[token]
            if (parse_special or not self.vocabulary.is_hidden(token)) and wanted in text:
                pieces = list(self._cut_special(pieces, token, wanted))
        return [piece if isinstance(piece, int) else piece[0] for piece in pieces]

    def _cut_special(self, pieces: list[_Piece], token: int, wanted: str) -> Iterator[_Piece]:
        left_strippers, right_strippers = self._strips
        is_hidden = self.vocabulary.is_hidden(token)
        for piece in pieces:
            if isinstance(piece, int):
                yield piece
                continue
            fragment, masked = piece
            searched = masked if is_hidden else fragment
            start = 0
            while (match := searched.find(wanted, start)) >= 0:
                stop = match
                if token in left_strippers:
                    stop = start + len(fragment[start:match].rstrip(ASCII_SPACE))
                if stop > start:
                    yield fragment[start:stop], masked[start:stop]
                yield token
                start = match + len(wanted)
                if token in right_strippers:
                    while start < len(fragment) and fragment[start] in ASCII_SPACE:
                        start += 1
            if start < len(fragment):
                yield (fragment[start:], masked[start:]) if start else piece

    @cached_property
    def _strips(self) -> tuple[frozenset[int], frozenset[int]]:
        return self.vocabulary.strips()

    def _special_table(self, parse_special: bool) -> re.Pattern[str] | None:
        """One pattern that finds any special token: most texts hold none and stop here."""
        if parse_special not in self._tables:
            vocabulary = self.vocabulary
            texts = [
                re.escape(vocabulary.tokens[token])
                for token in vocabulary.special_tokens
                if parse_special or not vocabulary.is_hidden(token)
            ]
            self._tables[parse_special] = re.compile("|".join(texts)) if texts else None
        return self._tables[parse_special]


def _masked(text: str, content: Sequence[Span]) -> str:
    """`text` with MASK wherever it is content."""
    parts: list[str] = []
    place = 0
    for start, stop in content:
        parts += (text[place:start], MASK * (stop - start))
        place = stop
    return "".join([*parts, text[place:]]) if parts else text


def to_bytes(text: str) -> bytes:
    """UTF-8 bytes of a token's text; surrogate escapes become the bytes they stand for."""
    return text.encode("utf-8", "surrogateescape")
