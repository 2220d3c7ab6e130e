"""Which parts of a grammar may be read as one lexeme.

llguidance reads a text in two steps: a lexer takes the longest lexeme that is allowed (all those of
that length, if there are several), a parser goes on from there. That is fast for long lexemes, and
exact for single characters, of which none is the beginning of another. In between it is exact
only where the lexer stops in time: wherever a part ends and the text may go on with a byte, no part
that is allowed in the same place may go on with that byte.

A part that would is taken apart, and what it was made of is tried again, down to characters. Bytes
are those of UTF-8: a lexer that took the first byte of a character cannot give it back.
"""

from __future__ import annotations

from zigllm_cli.grammar.automaton import Effort, TooLongError
from zigllm_cli.grammar.expressions import Expression, Rules, nullable_rules
from zigllm_cli.grammar.network import Network
from zigllm_cli.grammar.units import Units

MOST_STEPS = 3_000_000
"""Work on one grammar, a second or two; then all of it is read by characters."""


def find_lexemes(rules: Rules) -> frozenset[Expression]:
    """The expressions that are safe to read as lexemes, single characters aside."""
    effort = Effort(MOST_STEPS)
    try:
        units, empty = Units(rules, effort), nullable_rules(rules)
        while True:
            network = Network(rules, units, empty, effort)
            conflicts = network.conflicts()
            if not conflicts:
                used = {units.expressions[unit] for unit in network.units if units.is_lexeme(unit)}
                return frozenset(used)
            units.refused |= conflicts
    except TooLongError:
        return frozenset()
