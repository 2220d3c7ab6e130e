"""Which options of `zigllm perplexity` go together, and what the simple ones mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.evaluate.windows import Windowing
    from zigllm_cli.gguf import GGUFFile

CTX = 512
"""llama-perplexity's chunks."""

CUTTING = {"--ctx", "--chunks", "--stride", "--window", "--overlap"}
BASE = {"--base", "--kl-divergence"}
LONG = {"--state", "--shard", "--ray", "--workers"}
CHOICE = {"--model", "--ctx", "--output", "--tasks"}

ALLOWED = {
    "text": {"--model", "--output", "--per-token", "--save-logits"} | CUTTING | BASE | LONG,
    "compare": {"--output", "--plot", "--dark"} | CUTTING,
    "merge": {"--output", "--per-token"},
    "hellaswag": CHOICE,
    "winogrande": CHOICE,
    "multiple-choice": CHOICE,
}
"""Options of each way to use the command, beside those of the engine."""

EXCLUDING = (
    ("--stride", "--window"),
    ("--ctx", "--window"),
    ("--save-logits", "--stride"),
    ("--save-logits", "--window"),
    ("--save-logits", "--state"),
    ("--save-logits", "--shard"),
    ("--save-logits", "--ray"),
)
NEEDING = (("--overlap", "--window"), ("--workers", "--ray"), ("--dark", "--plot"))


def check(mode: str, given: set[str]) -> None:
    """Refuse options that make no sense together.

    Raises:
        UsageError: with the first of them.
    """
    for name in sorted(given - ALLOWED[mode]):
        if mode == "text":
            where = "--compare" if name in ALLOWED["compare"] else "--hellaswag and its kin"
            raise UsageError(f"{name} is for {where}; leave it out")
        raise UsageError(f"{name} is not for --{mode}; leave it out")
    for one, other in EXCLUDING:
        if {one, other} <= given:
            raise UsageError(f"{one} and {other} exclude each other; give one of them")
    for one, other in NEEDING:
        if one in given and other not in given:
            raise UsageError(f"{one} is for {other}; give that too")


@dataclass(frozen=True)
class Form:
    """How results are given out.

    Attributes:
        json: as JSON on stdout.
        output: a file that takes the JSON form.
    """

    json: bool
    output: Path | None


@dataclass(frozen=True)
class Cut:
    """The options about windows; None where nothing was said."""

    ctx: int | None = None
    stride: int | None = None
    window: int | None = None
    overlap: int | None = None
    chunks: int | None = None

    def __post_init__(self) -> None:
        if self.chunks is not None and self.chunks < 1 and self.chunks != -1:
            raise UsageError(f"--chunks {self.chunks} must be 1 or more")

    @property
    def limit(self) -> int | None:
        """Most windows; -1 means all, as for llama-perplexity."""
        return None if self.chunks == -1 else self.chunks

    def windowing(self, file: GGUFFile) -> Windowing:
        """What it means for a model."""
        from zigllm_cli.evaluate.windows import Windowing

        if self.window is not None:
            overlap = self.window // 2 if self.overlap is None else self.overlap
            return Windowing.sliding(self.window, overlap)
        ctx = context_of(self.ctx, file)
        if self.stride is not None:
            return Windowing.strided(ctx, self.stride)
        return Windowing.chunks(ctx)


def context_of(ctx: int | None, file: GGUFFile) -> int:
    """Tokens of a chunk: as asked for, or 512 or what the model was trained with."""
    trained = file.hyperparameter("context_length")
    known = trained if isinstance(trained, int) and trained > 0 else CTX
    if ctx == 0:
        return known
    return min(CTX, known) if ctx is None else ctx


def text_of(words: Sequence[str], file: Path | None) -> Path | None:
    """The text: an argument or -f, but one; None for standard input.

    Raises:
        UsageError: several.
    """
    texts = [*map(Path, words), *([] if file is None else [file])]
    if len(texts) > 1:
        raise UsageError(
            f"there are {len(texts)} texts, but one is evaluated at a time; "
            "to compare models write --compare"
        )
    return texts[0] if texts else None


def models_and_text(words: Sequence[str], file: Path | None) -> tuple[list[str], Path]:
    """The arguments of --compare.

    Raises:
        UsageError: too few.
    """
    models, text = (list(words), file) if file is not None else (list(words[:-1]), None)
    if text is None and words:
        text = Path(words[-1])
    if text is None or len(models) < 2:
        raise UsageError("--compare takes two or more models and a text: A.gguf B.gguf TEXT")
    return models, text


def shard_of(text: str | None) -> tuple[int, int]:
    """ "2/8" as (2, 8).

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return 1, 1
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text!r} must be like 1/8, from 1/8 to 8/8")
    return int(match[1]), int(match[2])
