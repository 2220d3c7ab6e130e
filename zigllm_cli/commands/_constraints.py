"""Options that say what form a text must have: the same for every command that generates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zigllm_cli.commands._groups import OptionGroup
from zigllm_cli.errors import InputError, UsageError, unreadable

if TYPE_CHECKING:
    from zigllm_cli.grammar import Constraint
    from zigllm_cli.grammar.forms import Grammar
    from zigllm_cli.tokenizers import Tokenizer

PANEL = "Form of the text"


@dataclass(frozen=True)
class ConstraintOptions(OptionGroup):
    """At most one form of constraint."""

    grammar: Annotated[
        Path | None,
        typer.Option(
            "--grammar",
            metavar="FILE",
            help="Text that a grammar allows (GBNF, as llama.cpp reads it).",
            rich_help_panel=PANEL,
        ),
    ] = None
    json_schema: Annotated[
        Path | None,
        typer.Option(
            "--json-schema",
            metavar="FILE",
            help="JSON that a schema allows.",
            rich_help_panel=PANEL,
        ),
    ] = None
    json_object: Annotated[
        bool, typer.Option("--json-object", help="Any JSON object.", rich_help_panel=PANEL)
    ] = False
    regex: Annotated[
        str | None,
        typer.Option(
            "--regex",
            metavar="PATTERN",
            help="Text that matches a regular expression as a whole.",
            rich_help_panel=PANEL,
        ),
    ] = None
    choice: Annotated[
        list[str] | None,
        typer.Option(
            "--choice",
            metavar="TEXT",
            help="One of the texts given. Repeatable.",
            rich_help_panel=PANEL,
        ),
    ] = None

    def maker(self, tokenizer: Tokenizer) -> Callable[[], Constraint | None]:
        """What makes the constraint of each sequence; None from it where there is none.

        Raises:
            UsageError: several are given, or one is malformed.
            InputError: a file is unreadable or malformed.
        """
        grammar = self._grammar(tokenizer)
        if grammar is None:
            return lambda: None
        from zigllm_cli.grammar import Constraint, tokens_of

        tokens = tokens_of(tokenizer)
        return lambda: Constraint(tokens, grammar)

    def _grammar(self, tokenizer: Tokenizer) -> Grammar | None:
        given = {
            "--grammar": self.grammar,
            "--json-schema": self.json_schema,
            "--json-object": self.json_object,
            "--regex": self.regex,
            "--choice": self.choice,
        }
        names = [name for name, value in given.items() if value not in (None, False, [])]
        if len(names) > 1:
            raise UsageError(f"{names[0]} and {names[1]} are given; a text can have one form")
        if not names:
            return None
        from zigllm_cli import grammar as forms

        if self.grammar is not None:
            return forms.from_gbnf(_read(self.grammar), tokenizer, name=str(self.grammar))
        if self.json_schema is not None:
            return forms.from_json_schema(_read(self.json_schema), name=str(self.json_schema))
        if self.regex is not None:
            return forms.from_regex(self.regex)
        return forms.from_choices(self.choice) if self.choice else forms.from_json_object()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: byte {error.start} is wrong") from None
