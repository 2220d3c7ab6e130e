"""The parts of several shards, or the state of a run, as one result."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from zigllm_cli.commands._perplexity_report import report
from zigllm_cli.commands._perplexity_rules import Form
from zigllm_cli.commands._perplexity_run import Outcome
from zigllm_cli.errors import UsageError
from zigllm_cli.evaluate.records import RecordReader, merged
from zigllm_cli.evaluate.token_file import token_file
from zigllm_cli.evaluate.totals import Totals


def merge_parts(paths: Sequence[Path], per_token: Path | None, form: Form) -> None:
    """Add the chunks of all parts up, in their order.

    Raises:
        InputError: they do not belong together, or one is missing.
    """
    if not paths:
        raise UsageError("--merge needs the parts: zigllm perplexity --merge part*.json")
    records = [RecordReader(path) for path in paths]
    subject, totals = records[0].subject, Totals()
    if per_token is not None and not subject.tokens:
        raise UsageError("these parts have no figures of tokens; give --per-token to each shard")
    with ExitStack() as stack:
        out = None if per_token is None else stack.enter_context(token_file(per_token, None))
        for chunk in merged(records):
            totals.add(chunk)
            if out is not None:
                out.add(chunk)
    report(Outcome(subject.name, subject.windows, totals), form)
