"""Options that say how tokens are chosen: the same for every command that generates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zigllm_cli.commands._groups import OptionGroup
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.sampling import Sampling

BASIC = "Sampling"
MORE = "More samplers"


def _option(*names: str, metavar: str | None, help: str, panel: str = BASIC) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel)


@dataclass(frozen=True)
class SamplingOptions(OptionGroup):
    """What was said on the command line; None where nothing was, so that the model's file,
    models.toml and presets have their say. Fields are named like those of `Sampling`."""

    preset: Annotated[
        str | None,
        _option(
            "--preset",
            metavar="NAME",
            help="creative, balanced, focused or deterministic; options beside it win.",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        _option(
            "--temp",
            metavar="T",
            help="Temperature (default 0.8); 0 always takes the likeliest token.",
        ),
    ] = None
    top_k: Annotated[
        int | None,
        _option("--top-k", metavar="K", help="The K likeliest (default 40); 0 is off."),
    ] = None
    top_p: Annotated[
        float | None,
        _option(
            "--top-p",
            metavar="P",
            help="The likeliest that make up P together (default 0.95); 1 is off.",
        ),
    ] = None
    min_p: Annotated[
        float | None,
        _option(
            "--min-p",
            metavar="P",
            help="At least P times as likely as the likeliest (default 0.05); 0 is off.",
        ),
    ] = None
    repeat_penalty: Annotated[
        float | None,
        _option(
            "--repeat-penalty",
            metavar="R",
            help="Above 1, tokens among the last ones become less likely.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        _option(
            "--seed",
            "-s",
            metavar="N",
            help="The same seed gives the same text; default: chance.",
        ),
    ] = None
    samplers: Annotated[
        str | None,
        _option(
            "--samplers",
            metavar="A;B;...",
            help="Samplers in the order of use, default: penalties; dry; top_n_sigma; top_k; "
            "tail_free; typ_p; top_p; min_p; xtc; temperature; adaptive_p.",
            panel=MORE,
        ),
    ] = None
    repeat_last_n: Annotated[
        int | None,
        _option(
            "--repeat-last-n",
            metavar="N",
            help="Tokens that penalties look at (default 64); 0 is off.",
            panel=MORE,
        ),
    ] = None
    presence_penalty: Annotated[
        float | None,
        _option(
            "--presence-penalty",
            metavar="X",
            help="Taken off the logit of a token that occurred.",
            panel=MORE,
        ),
    ] = None
    frequency_penalty: Annotated[
        float | None,
        _option(
            "--frequency-penalty",
            metavar="X",
            help="Taken off for each time that a token occurred.",
            panel=MORE,
        ),
    ] = None
    dry_multiplier: Annotated[
        float | None,
        _option(
            "--dry-multiplier",
            metavar="X",
            help="DRY: penalty on what would go on with a repetition, usually 0.8.",
            panel=MORE,
        ),
    ] = None
    dry_base: Annotated[
        float | None,
        _option(
            "--dry-base",
            metavar="X",
            help="DRY: how the penalty grows with each token repeated (default 1.75).",
            panel=MORE,
        ),
    ] = None
    dry_allowed_length: Annotated[
        int | None,
        _option(
            "--dry-allowed-length",
            metavar="N",
            help="DRY: repetitions up to this length are free (default 2).",
            panel=MORE,
        ),
    ] = None
    dry_penalty_last_n: Annotated[
        int | None,
        _option(
            "--dry-penalty-last-n",
            metavar="N",
            help="DRY: tokens looked at (default 64); 0 is off.",
            panel=MORE,
        ),
    ] = None
    dry_sequence_breakers: Annotated[
        list[str] | None,
        _option(
            "--dry-sequence-breaker",
            metavar="TEXT",
            help=r"DRY: no repetition reaches beyond it (default: \n, :, quote, *); 'none'. "
            "Repeatable.",
            panel=MORE,
        ),
    ] = None
    top_n_sigma: Annotated[
        float | None,
        _option(
            "--top-n-sigma",
            metavar="N",
            help="Logits within N standard deviations of the largest.",
            panel=MORE,
        ),
    ] = None
    tail_free: Annotated[
        float | None,
        _option(
            "--tail-free",
            metavar="Z",
            help="Cut where the curve of probabilities flattens; 1 is off.",
            panel=MORE,
        ),
    ] = None
    typical: Annotated[
        float | None,
        _option(
            "--typical",
            metavar="P",
            help="About as surprising as expected, up to P together; 1 is off.",
            panel=MORE,
        ),
    ] = None
    xtc_probability: Annotated[
        float | None,
        _option(
            "--xtc-probability",
            metavar="P",
            help="XTC: how often the top choices are left out.",
            panel=MORE,
        ),
    ] = None
    xtc_threshold: Annotated[
        float | None,
        _option(
            "--xtc-threshold",
            metavar="P",
            help="XTC: the probability that makes a top choice (default 0.1).",
            panel=MORE,
        ),
    ] = None
    dynatemp_range: Annotated[
        float | None,
        _option(
            "--dynatemp-range",
            metavar="R",
            help="Dynamic temperature: from T - R where the model is sure to T + R.",
            panel=MORE,
        ),
    ] = None
    dynatemp_exp: Annotated[
        float | None,
        _option(
            "--dynatemp-exp",
            metavar="X",
            help="Dynamic temperature: exponent of the curve between them (default 1).",
            panel=MORE,
        ),
    ] = None
    mirostat: Annotated[
        int | None,
        _option(
            "--mirostat",
            metavar="1|2",
            help="Keep the surprise at a target, instead of all samplers but temperature.",
            panel=MORE,
        ),
    ] = None
    mirostat_ent: Annotated[
        float | None,
        _option(
            "--mirostat-ent",
            metavar="BITS",
            help="Mirostat: the target, tau (default 5).",
            panel=MORE,
        ),
    ] = None
    mirostat_lr: Annotated[
        float | None,
        _option(
            "--mirostat-lr",
            metavar="X",
            help="Mirostat: the learning rate, eta (default 0.1).",
            panel=MORE,
        ),
    ] = None
    adaptive_target: Annotated[
        float | None,
        _option(
            "--adaptive-target",
            metavar="P",
            help="Adaptive-p: the probability that tokens should have.",
            panel=MORE,
        ),
    ] = None
    adaptive_decay: Annotated[
        float | None,
        _option(
            "--adaptive-decay",
            metavar="X",
            help="Adaptive-p: how slowly what was drawn is forgotten (default 0.9).",
            panel=MORE,
        ),
    ] = None
    logit_bias: Annotated[
        list[str] | None,
        _option(
            "--logit-bias",
            "-l",
            metavar="ID+X|TEXT=X",
            help="Add X to a token's logit: 15043+1, 15043-inf or ' hello=-5'. Repeatable.",
            panel=MORE,
        ),
    ] = None
    ignore_eos: Annotated[
        bool,
        _option("--ignore-eos", metavar=None, help="Never end by an end token.", panel=MORE),
    ] = False
    min_tokens: Annotated[
        int | None,
        _option(
            "--min-tokens",
            metavar="N",
            help="No end token before so many tokens.",
            panel=MORE,
        ),
    ] = None

    def settle(
        self, metadata: Mapping[str, Any], table: Mapping[str, Any] | None = None
    ) -> Sampling:
        """The settings: options win over the preset, that over `table`, that over the file.

        Args:
            metadata: of the model's file.
            table: settings by name, from a configuration file.
        """
        from zigllm_cli.sampling import settle

        said = {field.name: getattr(self, field.name) for field in fields(self)}
        del said["preset"]
        said["seed"] = None if self.seed == -1 else self.seed
        said["ignore_eos"] = self.ignore_eos or None
        said["logit_bias"] = parse_biases(self.logit_bias) if self.logit_bias else None
        if self.dry_sequence_breakers:
            given = self.dry_sequence_breakers
            said["dry_sequence_breakers"] = () if given == ["none"] else tuple(given)
        return settle(said, metadata=metadata, table=table, preset_name=self.preset)


_BIAS_BY_ID = re.compile(r"(\d+)([+-](?:\d+\.?\d*|\.\d+|inf))", re.IGNORECASE)


def parse_biases(words: Sequence[str]) -> dict[int | str, float]:
    """What `--logit-bias` says: 15043+1, 15043-inf, or ' hello=-5'.

    Raises:
        UsageError: none of these.
    """
    biases: dict[int | str, float] = {}
    for word in words:
        by_id = _BIAS_BY_ID.fullmatch(word)
        text, equals, number = word.rpartition("=")
        if by_id:
            biases[int(by_id[1])] = float(by_id[2])
        elif equals and text and (bias := _number(number)) is not None:
            biases[text] = bias
        else:
            raise UsageError(
                f"logit bias {word!r} is neither ID+X (15043+1, 15043-inf) nor TEXT=X ('hello=-5')"
            )
    return biases


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if value == inf or value != value else value
