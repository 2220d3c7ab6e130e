"""Short documents one by one, as microgpt learns them: BOUNDARY name BOUNDARY."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from random import Random

import numpy as np

from zigllm_cli.errors import InputError
from zigllm_cli.train.characters import Characters
from zigllm_cli.train.kernels.cross_entropy import IGNORED
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.tasks import Batch


class Names:
    """A document per line, in an order that `random` settles.

    Attributes:
        random: has shuffled the documents, and goes on to draw parameters and samples.
        documents: all of them; nothing is held out.
    """

    def __init__(self, s: Settings, text: str) -> None:
        self.settings, self.context = s, s.context
        self.digest = blake2b(text.encode(), digest_size=16).hexdigest()
        self.documents = [line.strip() for line in text.split("\n") if line.strip()]
        if not self.documents:
            raise InputError("the data holds no documents: one per line is needed")
        self.random = Random(s.seed)
        self.random.shuffle(self.documents)
        self.vocabulary = Characters.of("".join(self.documents))

    def batch(self, step: int, part: int) -> Batch:
        """The next documents, from the first one again behind the last."""
        s, end = self.settings, self.vocabulary.end
        first = (step * s.accumulate + part) * s.batch
        tokens = np.zeros((s.batch, s.context), np.int32)
        targets = np.full_like(tokens, IGNORED)
        longest = 0
        for row in range(s.batch):
            document = self.documents[(first + row) % len(self.documents)]
            ids = [end, *self.vocabulary.encode(document), end]
            length = min(s.context, len(ids) - 1)
            tokens[row, :length], targets[row, :length] = ids[:length], ids[1 : length + 1]
            longest = max(longest, length)
        return tokens[:, :longest], targets[:, :longest]

    def held_out(self, batches: int | None) -> Iterator[Batch]:
        """Nothing."""
        return iter(())
