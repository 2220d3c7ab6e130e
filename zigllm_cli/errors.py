"""Every failure a user can cause, and the exit code it ends with.

    ZigllmError            1  the answer is "no", or something unforeseen
    ├── UsageError         2  an option, a setting or a missing extra
    ├── InputError         3  a file that cannot be read or is corrupt
    ├── UnsupportedError   4  understood, but not something this program does
    ├── MemoryLimitError   5  would not fit in memory
    ├── NetworkError       6  the network or the model hub
    └── GenerationError    7  stopped by a grammar or a template

Ctrl-C ends with 130, a closed stdout with 141. A message is one sentence that says what is
wrong, the value, and what to do next; `zigllm_cli.app` prints it, nobody else catches it.
"""

from __future__ import annotations

INTERRUPTED = 130
CLOSED_PIPE = 141


class ZigllmError(Exception):
    """Base of all errors that are reported in one sentence instead of a traceback."""

    exit_code = 1


class UsageError(ZigllmError):
    """The command line or a configuration file asks for something impossible."""

    exit_code = 2


class InputError(ZigllmError):
    """A file is missing, unreadable, truncated or not what it claims to be."""

    exit_code = 3


class UnsupportedError(ZigllmError):
    """The input is sound but asks for something this program does not do."""

    exit_code = 4


class MemoryLimitError(ZigllmError):
    """The work would not fit in this machine's memory."""

    exit_code = 5


class NetworkError(ZigllmError):
    """A download failed, or the machine is offline and nothing is cached."""

    exit_code = 6


class GenerationError(ZigllmError):
    """A grammar reached a dead end, or a chat template refused the conversation."""

    exit_code = 7


def reason_of(error: Exception) -> str:
    """Why the system refused, in its own words, as they stand within a sentence."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def unreadable(path: object, error: Exception) -> InputError:
    """The error of a file that the system will not read."""
    return InputError(f"cannot read {path}: {reason_of(error)}")
