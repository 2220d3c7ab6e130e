"""What `check` has to say: problems and notes.

A problem is something that makes the file fail to load, run wrongly or contradict itself; a note
is unusual and harmless, or could not be judged.
"""

from __future__ import annotations

from dataclasses import dataclass

PROBLEM = "problem"
NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One line of `--check`.

    Attributes:
        severity: "problem" or "note".
        area: "file", "metadata", "tensors", "values" or "tokenizer".
        message: a sentence without a full stop.
        subject: the key, tensor or token in question, "" for none.
    """

    severity: str
    area: str
    message: str
    subject: str = ""


def problem(area: str, message: str, subject: str = "") -> Finding:
    """A finding that makes `check` fail."""
    return Finding(PROBLEM, area, message, subject)


def note(area: str, message: str, subject: str = "") -> Finding:
    """A finding that does not."""
    return Finding(NOTE, area, message, subject)
