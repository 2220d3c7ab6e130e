"""A sequence of tokens with the engine's memory of it: evaluate, go back, fork, keep on disk.

    session = Session(runner, slot=0)
    logits = session.eval(ids)      # float32 [vocabulary]: what may follow the last of ids
    session.truncate(3)             # forget all but the first three tokens

A saved session:

    magic "ZIGLLMKV" | version u32 | type of the cache, 12 bytes | fingerprint of the model, 32
    tokens u64 | bytes of the state u64 | BLAKE2b of everything behind, 32 bytes
    ids u32 ... | state of the slot, as the runner writes it
"""

from __future__ import annotations

import struct
import weakref
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from itertools import takewhile
from operator import eq
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from zigllm_cli.atomic import atomic_file
from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.fingerprint import fingerprint
from zigllm_cli.errors import InputError, UsageError, unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zigllm_cli.engine.runner import Runner

MAGIC = b"ZIGLLMKV"
VERSION = 1
HEADER = struct.Struct("<8sI12s32sQQ32s")


class Slots:
    """The slots of a runner that no session uses."""

    def __init__(self, runner: Runner) -> None:
        self._all = runner.sequences
        self._free = list(range(runner.sequences))

    def take(self) -> int:
        """A free slot.

        Raises:
            UsageError: there is none.
        """
        if not self._free:
            raise UsageError(
                f"no free sequence: the engine was opened for {self._all}, and all are in use; "
                "close a session first"
            )
        return self._free.pop(0)

    def give(self, slot: int) -> None:
        """Make a slot free again."""
        self._free.append(slot)

    def __len__(self) -> int:
        return len(self._free)


class Session:
    """One sequence of a runner.

    Args:
        runner: evaluates tokens.
        slot: the runner's slot for this sequence, which nobody else may use.
        slots: where the slot came from, and where `fork` takes another one; `close` (or the
            garbage collector) gives it back.

    Attributes:
        tokens: all tokens that were evaluated, in order.
    """

    def __init__(self, runner: Runner, slot: int = 0, slots: Slots | None = None) -> None:
        self.runner = runner
        self.slot = slot
        self.tokens: list[int] = []
        self._slots = slots
        runner.truncate(slot, 0)
        self._release = weakref.finalize(self, int if slots is None else partial(slots.give, slot))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def room(self) -> int:
        """How many more tokens the context holds."""
        return self.runner.context - len(self.tokens)

    # ------------------------------------------------------------------ evaluate

    def eval(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append tokens; the logits behind the last one, float32 [vocabulary].

        Raises:
            UsageError: no tokens, not tokens of this model, or more than the context holds.
        """
        row: NDArray[np.float32] = self._eval(ids, every=False)[0]
        return row

    def eval_all(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The same; the logits behind every one of them, float32 [n, vocabulary]."""
        return self._eval(ids, every=True)

    def _eval(self, ids: Sequence[int], *, every: bool) -> NDArray[np.float32]:
        added = [int(token) for token in ids]
        if not added:
            raise UsageError("there are no tokens to evaluate; give at least one")
        check_ids(added, self.runner.vocabulary)
        if len(added) > self.room:
            raise UsageError(
                f"{len(self.tokens) + len(added)} tokens do not fit in the context of "
                f"{self.runner.context}; open the model with a larger one"
            )
        start, missing = self._missing()
        tokens = missing + added
        outputs = range(len(missing), len(tokens)) if every else None
        logits = self.runner.step(Batch.of(tokens, start, self.slot, outputs))
        self.tokens += added
        return logits

    def reuse(self, ids: Sequence[int]) -> int:
        """Keep what is known of `ids`: the longest common prefix, but never all of them.

        The last of `ids` is left to evaluate, since its logits are not kept. Returns how many
        need not be evaluated again.
        """
        common = sum(1 for _ in takewhile(bool, map(eq, self.tokens, ids)))
        kept = max(min(common, len(ids) - 1), 0)
        self.truncate(kept)
        return kept

    def _missing(self) -> tuple[int, list[int]]:
        """Where the runner's memory of this sequence ends, and the tokens that it lacks.

        None, as a rule; but a recurrent model that was sent back has to begin anew.
        """
        self._forget_unfinished()
        start = self.runner.length(self.slot)
        return start, self.tokens[start:]

    def _forget_unfinished(self) -> None:
        """Drop what an evaluation left behind that Ctrl-C cut short."""
        if self.runner.length(self.slot) != len(self.tokens):
            self.runner.truncate(self.slot, len(self.tokens))

    # ------------------------------------------------------------------ change

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens.

        Raises:
            UsageError: there are fewer.
        """
        if not 0 <= length <= len(self.tokens):
            raise UsageError(f"cannot go back to {length} tokens; there are {len(self.tokens)}")
        self.runner.truncate(self.slot, length)
        del self.tokens[length:]

    def shift(self, keep: int, drop: int) -> None:
        """Forget the `drop` tokens behind the first `keep`; those behind them move down."""
        self._forget_unfinished()
        self.runner.shift(self.slot, keep, drop)
        del self.tokens[keep : keep + drop]

    def fork(self) -> Session:
        """A session of its own that goes on from here.

        Raises:
            UsageError: the runner has no free slot.
        """
        if self._slots is None:
            raise UsageError("this session stands alone: open it from a model to fork it")
        self._forget_unfinished()
        other = Session(self.runner, self._slots.take(), self._slots)
        other.copy(self, len(self.tokens))
        return other

    def copy(self, other: Session, length: int) -> None:
        """Hold the first `length` tokens of another session of the same runner."""
        other._forget_unfinished()
        self.runner.copy(other.slot, self.slot)
        self.runner.truncate(self.slot, length)
        self.tokens = other.tokens[:length]

    def close(self) -> None:
        """Give the slot back; the session must not be used any more."""
        self._release()

    # ------------------------------------------------------------------ disk

    @property
    def _kv_type(self) -> bytes:
        return self.runner.cache.kv_type.encode("ascii").ljust(12, b"\0")

    def save(self, path: str | PathLike[str]) -> None:
        """Write tokens and state to a file, which appears whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        self._forget_unfinished()
        ids, state = _ids(self.tokens), self.runner.state(self.slot)
        body = blake2b(ids, digest_size=32)
        body.update(state)
        head = HEADER.pack(
            *(MAGIC, VERSION, self._kv_type, fingerprint(self.runner.file)),
            *(len(self.tokens), len(state), body.digest()),
        )
        with atomic_file(path) as file:
            for part in (head, ids, state):
                file.write(part)

    def load(self, path: str | PathLike[str]) -> None:
        """Take tokens and state from a file that `save` wrote with the same model.

        Raises:
            InputError: unreadable, damaged, of another model, or too long for the context.
        """
        tokens, state = self._read(Path(path))
        self.truncate(0)
        try:
            self.runner.restore(self.slot, state)
        except (InputError, ValueError) as error:
            self.runner.truncate(self.slot, 0)
            raise InputError(f"{path} does not fit the engine as it was opened: {error}") from None
        self.tokens = tokens

    def _read(self, path: Path) -> tuple[list[int], bytes]:
        try:
            with path.open("rb") as file:
                head, size = file.read(HEADER.size), path.stat().st_size
                count, length, digest = self._check(path, head, size)
                ids, state = file.read(4 * count), file.read(length)
        except OSError as error:
            raise unreadable(path, error) from None
        body = blake2b(ids, digest_size=32)
        body.update(state)
        tokens = list(struct.unpack(f"<{count}I", ids)) if len(ids) == 4 * count else [-1]
        if body.digest() != digest or max(tokens, default=0) >= self.runner.vocabulary:
            raise InputError(f"{path} is damaged: its contents do not match their checksum")
        return tokens, state

    def _check(self, path: Path, head: bytes, size: int) -> tuple[int, int, bytes]:
        """Tokens, bytes of the state and checksum of a file whose header fits this session."""
        kv_type, model, count, length, digest = _parse(path, head)
        if size != HEADER.size + 4 * count + length:
            raise InputError(
                f"{path} has {size} bytes, but {HEADER.size + 4 * count + length} are "
                "announced: the session is truncated or damaged"
            )
        if model != fingerprint(self.runner.file):
            raise InputError(f"{path} is a session of another model than the one opened")
        if kv_type != self._kv_type:
            name = kv_type.rstrip(b"\0").decode("ascii", "replace")
            raise InputError(f"{path} was saved with a {name!r} cache; open the model with that")
        if count > self.runner.context:
            raise InputError(
                f"{path} holds {count} tokens, but the context is {self.runner.context}; "
                "open the model with a larger one"
            )
        return count, length, digest


def _parse(path: Path, head: bytes) -> tuple[bytes, bytes, int, int, bytes]:
    """Type of the cache, fingerprint, tokens, bytes of the state, digest."""
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise InputError(f"{path} is not a session of zigllm")
    _, version, kv_type, model, count, length, digest = HEADER.unpack(head)
    if version != VERSION:
        raise InputError(f"{path} is a session of version {version}; only {VERSION} is read")
    return kv_type, model, count, length, digest


def _ids(tokens: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(tokens)}I", *tokens)


def check_ids(ids: Sequence[int], vocabulary: int) -> None:
    """Refuse ids that are not tokens.

    Raises:
        UsageError: with the first of them.
    """
    if ids and not 0 <= min(ids) <= max(ids) < vocabulary:
        wrong = next(token for token in ids if not 0 <= token < vocabulary)
        raise UsageError(f"token id {wrong} is outside the vocabulary of {vocabulary} tokens")


def eval_together(sessions: Sequence[Session], tokens: Sequence[int]) -> NDArray[np.float32]:
    """Append one token to each of several sessions of a runner, in one step.

    Returns their logits, float32 [sessions, vocabulary].
    """
    batch = Batch([], [], [], [])
    for session, token in zip(sessions, tokens, strict=True):
        start, missing = session._missing()
        batch.append(Batch.of([*missing, token], start, session.slot))
    logits = sessions[0].runner.step(batch)
    for session, token in zip(sessions, tokens, strict=True):
        session.tokens.append(token)
    return logits
