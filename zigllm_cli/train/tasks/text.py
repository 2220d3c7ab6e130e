"""Texts to learn from: read, cut into a part to learn from and one held out, tokenised.

Windows of the held-out part are those of `zigllm perplexity --window CONTEXT --overlap 1`: every
token but the first is predicted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from zigllm_cli.errors import InputError
from zigllm_cli.evaluate.windows import Windowing
from zigllm_cli.train.kernels.cross_entropy import IGNORED
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.tasks import AnyVocabulary, Batch, generator
from zigllm_cli.train.values import Array
from zigllm_cli.train.vocabulary import END, Vocabulary, train_bpe, train_characters


class Text:
    """A text as a task.

    Attributes:
        learned, held: token ids of both parts.
    """

    def __init__(
        self,
        s: Settings,
        text: str,
        held: str | None = None,
        vocabulary: AnyVocabulary | None = None,
    ) -> None:
        """Cut and tokenise a text.

        Args:
            held: the text to validate on; None for the end of the other one.
            vocabulary: to use; None to make one from the text that is learned from.
        """
        self.settings, self.context = s, s.context
        self.digest = blake2b(
            f"{len(text)} {text}{held or ''}".encode(), digest_size=16
        ).hexdigest()
        is_lines = s.task == "lines"
        if held is None:
            text, held = _lines_cut(s, text) if is_lines else _cut(s, text)
        if vocabulary is None:
            vocabulary = make_vocabulary(s, text + held, add_bos=is_lines or END in text)
        self.vocabulary = vocabulary
        self.learned = self._tokens(text, is_lines)
        self.held = self._tokens(held, is_lines)
        if len(self.learned) < s.context + 1:
            raise InputError(
                f"the text has {len(self.learned)} tokens to learn from, but a sequence is"
                f" {s.context} long; give a longer text or a smaller --ctx"
            )

    def _tokens(self, text: str, is_lines: bool) -> Array:
        if not is_lines:
            return np.array(self.vocabulary.encode(text), np.int32)
        ids = [self.vocabulary.end]
        for line in text.splitlines():
            ids += [*self.vocabulary.encode(line), self.vocabulary.end]
        return np.array(ids, np.int32)

    def batch(self, step: int, part: int) -> Batch:
        """Windows that begin anywhere."""
        s = self.settings
        starts = generator(s, step, part).integers(0, len(self.learned) - s.context, s.batch)
        rows = starts[:, None] + np.arange(s.context)
        return self.learned[rows], self.learned[rows + 1]

    def held_out(self, batches: int | None) -> Iterator[Batch]:
        """Neighbouring windows; of a part of them, those at equal distances."""
        tokenizer, size = self.vocabulary.tokenizer, self.settings.batch
        prefix = tokenizer.prefix
        stream = [[*prefix, *self.held.tolist()]]
        bos = prefix[0] if prefix else None
        if len(stream[0]) < 2:
            return
        windows = list(Windowing.sliding(self.context, 1).windows(stream, bos))
        if batches is not None and batches * size < len(windows):
            chosen = np.linspace(0, len(windows) - 1, batches * size).astype(int)
            windows = [windows[i] for i in chosen]
        for start in range(0, len(windows), size):
            group = [window.tokens for window in windows[start : start + size]]
            length = max(map(len, group)) - 1
            tokens = np.zeros((len(group), length), np.int32)
            targets = np.full_like(tokens, IGNORED)
            for row, window in enumerate(group):
                tokens[row, : len(window) - 1] = window[:-1]
                targets[row, : len(window) - 1] = window[1:]
            yield tokens, targets


def make_vocabulary(s: Settings, text: str, *, add_bos: bool) -> Vocabulary:
    """Of the kind and size that the settings ask for."""
    if s.vocabulary == "bpe":
        return train_bpe(text, s.vocabulary_size, s.special, add_bos=add_bos)
    return train_characters(text, s.special, add_bos=add_bos)


def _cut(s: Settings, text: str) -> tuple[str, str]:
    place = round(len(text) * (1 - s.validation))
    return text[:place], text[place:]


def _lines_cut(s: Settings, text: str) -> tuple[str, str]:
    """Documents in random order, those at the end held out."""
    lines = [line for line in text.splitlines() if line.strip()]
    order = generator(s, 0x11E5).permutation(len(lines))
    place = round(len(lines) * (1 - s.validation))
    return tuple("\n".join(lines[i] for i in part) for part in (order[:place], order[place:]))  # type: ignore[return-value]
