"""Options of `zigllm generate` about the way to a text, and about watching it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zigllm_cli.commands._groups import OptionGroup
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.engine.drafting import Drafter
    from zigllm_cli.model import Model

SPEED = "Guessing ahead"
SEARCH = "Search instead of sampling"
WATCH = "Watching"


@dataclass(frozen=True)
class WatchOptions(OptionGroup):
    """What is shown of the choices."""

    logprobs: Annotated[
        int | None,
        typer.Option(
            "--logprobs",
            metavar="N",
            min=0,
            help="Logarithm of each token's probability, with the N likeliest in its place: on "
            "stderr, or in --json.",
            rich_help_panel=WATCH,
        ),
    ] = None
    trace: Annotated[
        bool,
        typer.Option(
            "--trace",
            help="Candidates before and after each sampler, step by step, on stderr.",
            rich_help_panel=WATCH,
        ),
    ] = False
    trace_json: Annotated[
        bool,
        typer.Option(
            "--trace-json",
            help="The same as JSON lines on stdout, in place of the text.",
            rich_help_panel=WATCH,
        ),
    ] = False


@dataclass(frozen=True)
class WayOptions(OptionGroup):
    """How the text is found: guesses, beams, contrast."""

    draft: Annotated[
        str | None,
        typer.Option(
            "--draft",
            metavar="MODEL",
            help="A smaller model of the same vocabulary guesses ahead; the text stays the same.",
            rich_help_panel=SPEED,
        ),
    ] = None
    draft_ngram: Annotated[
        bool,
        typer.Option(
            "--draft-ngram",
            help="Guess from what followed the same words before; for texts that repeat.",
            rich_help_panel=SPEED,
        ),
    ] = False
    draft_max: Annotated[
        int,
        typer.Option(
            "--draft-max",
            metavar="N",
            min=1,
            max=7,
            help="Tokens to guess ahead at most.",
            rich_help_panel=SPEED,
        ),
    ] = 7
    draft_p_min: Annotated[
        float,
        typer.Option(
            "--draft-p-min",
            metavar="P",
            min=0,
            max=1,
            help="Stop guessing where the smaller model is less sure than this.",
            rich_help_panel=SPEED,
        ),
    ] = 0.3
    beams: Annotated[
        int | None,
        typer.Option(
            "--beams",
            metavar="N",
            min=1,
            help="Beam search: the likeliest text as a whole, N beginnings at a time.",
            rich_help_panel=SEARCH,
        ),
    ] = None
    length_penalty: Annotated[
        float,
        typer.Option(
            "--length-penalty",
            metavar="X",
            help="Beam search: above 0 favours longer texts.",
            rich_help_panel=SEARCH,
        ),
    ] = 1.0
    contrastive_alpha: Annotated[
        float | None,
        typer.Option(
            "--contrastive-alpha",
            metavar="A",
            min=0,
            max=1,
            help="Contrastive search: how much being unlike the text so far counts, often 0.6.",
            rich_help_panel=SEARCH,
        ),
    ] = None
    contrastive_k: Annotated[
        int,
        typer.Option(
            "--contrastive-k",
            metavar="K",
            min=1,
            help="Contrastive search: candidates per token.",
            rich_help_panel=SEARCH,
        ),
    ] = 4

    def check(
        self, watching: WatchOptions, session: Path | None, samples: int, *, many: bool
    ) -> None:
        """Refuse options that exclude each other.

        Raises:
            UsageError: names the two.
        """
        groups = {
            "--prompts": many,
            "--n-samples": samples > 1,
            "--beams": bool(self.beams),
            "--contrastive-alpha": self.contrastive_alpha is not None,
        }
        alone = {
            "--draft": self.draft is not None,
            "--draft-ngram": self.draft_ngram,
            "--session": session is not None,
            "--trace": watching.trace,
            "--trace-json": watching.trace_json,
            "--logprobs": watching.logprobs is not None,
        }
        given = [name for name, is_given in {**groups, **alone}.items() if is_given]
        _refuse([name for name in given if name in groups], 1)
        if any(groups.values()):
            _refuse(given, 1)
        _refuse([name for name in given if name.startswith("--draft")], 1)
        _refuse([name for name in given if name.startswith("--trace")], 1)

    def drafter(self, model: Model) -> Drafter | None:
        """What guesses ahead for this model; None for nothing.

        Raises:
            UsageError: the draft model has another vocabulary.
        """
        from zigllm_cli.engine.drafting import ModelDrafter, NgramDrafter, check_draft

        if self.draft_ngram:
            return NgramDrafter(most=self.draft_max)
        if self.draft is None:
            return None
        from zigllm_cli.catalog import resolve
        from zigllm_cli.engine.session import Session
        from zigllm_cli.gguf import open_gguf
        from zigllm_cli.model import Model

        small = Model(open_gguf(resolve(self.draft)), model.options)
        check_draft(model.tokenizer, small.tokenizer, self.draft)
        return ModelDrafter(Session(small.runner()), self.draft_p_min, self.draft_max)


def _refuse(names: list[str], most: int) -> None:
    if len(names) > most:
        raise UsageError(f"{names[0]} and {names[1]} cannot be used together; leave one out")
