"""The figures of an evaluation, for people and for programs."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli.atomic import atomic_file
from zigllm_cli.commands._output import human_bytes, print_json, printable, write
from zigllm_cli.evaluate.totals import Comparison, Totals, percentile

if TYPE_CHECKING:
    from zigllm_cli.commands._perplexity_rules import Form
    from zigllm_cli.commands._perplexity_run import Outcome
    from zigllm_cli.gguf import GGUFFile

SCHEMA = "zigllm.perplexity/1"

KLD_PERCENTS = (100, 99.9, 99, 95, 90, 50, 10, 5, 1, 0.1, 0)
DP_PERCENTS = (100, 99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1, 0.1, 0)
"""Those that llama-perplexity prints."""

NAMES: dict[float, str] = {100: "maximum", 50: "median", 0: "minimum"}


def bits_per_weight(file: GGUFFile) -> float:
    """Bits of the tensors' data per parameter."""
    tensors = list(file.tensors.values())
    return 8 * sum(t.nbytes for t in tensors) / max(sum(t.n_elements for t in tensors), 1)


def report(outcome: Outcome, form: Form) -> None:
    """Give out the figures as they are wanted."""
    document = as_document(outcome)
    if form.output is not None:
        write_document(form.output, document)
    if form.json:
        print_json(document)
    else:
        show_outcome(outcome)


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document to a file, whole or not at all."""
    with atomic_file(path) as file:
        file.write(json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8") + b"\n")


def show_outcome(outcome: Outcome) -> None:
    """On stdout, a line for each figure."""
    totals = outcome.totals
    rows = [("model", printable(outcome.name) + _model_facts(outcome.file))]
    rows.append(("text", f"{totals.chunks} {outcome.windows}; {totals.count} tokens scored"))
    rows.append(("perplexity", _plus_minus(totals.perplexity, 4)))
    rows.append(("bits", _bits(totals)))
    if outcome.rate is not None:
        rows.append(("speed", f"{outcome.rate:.1f} tokens/s"))
    _show_rows(rows)
    if totals.base is not None:
        write("\n")
        _show_rows(_comparison_rows(Comparison.of(totals)))


def _model_facts(file: GGUFFile | None) -> str:
    if file is None:
        return ""
    return f" · {human_bytes(file.size)} · {bits_per_weight(file):.2f} bits per weight"


def _bits(totals: Totals) -> str:
    values = {
        "token": totals.bits_per_token,
        "byte": totals.bits_per_byte,
        "character": totals.bits_per_character,
    }
    return " · ".join(f"{value:.4f} per {name}" for name, value in values.items())


def _comparison_rows(found: Comparison) -> list[tuple[str, str]]:
    percent = 100.0
    rows = [
        ("base perplexity", _plus_minus(found.base_perplexity, 4)),
        ("ratio", _plus_minus(found.ratio, 6)),
        ("ln of the ratio", _plus_minus(found.log_ratio, 6)),
        ("difference", _plus_minus(found.difference, 6)),
        ("correlation", f"{percent * found.correlation:.2f} %"),
        ("", ""),
        ("KL divergence", _plus_minus(found.kld, 6)),
    ]
    rows += [
        (f"  {_percentile_name(at)}", f"{percentile(found.klds, at):.6f}") for at in KLD_PERCENTS
    ]
    rows += [("", ""), ("change of p", _plus_minus(found.dp, 3, percent))]
    rows += [
        (f"  {_percentile_name(at)}", f"{percent * percentile(found.dps, at):.3f} %")
        for at in DP_PERCENTS
    ]
    rows += [
        ("rms change of p", _plus_minus(found.rms_dp, 3, percent)),
        ("same top token", _plus_minus(found.same_top, 3, percent)),
    ]
    return rows


def _percentile_name(at: float) -> str:
    return NAMES.get(at, f"{at:g} %")


def _plus_minus(pair: tuple[float, float], digits: int, factor: float = 1.0) -> str:
    unit = " %" if factor == 100 else ""
    return f"{factor * pair[0]:.{digits}f} ± {factor * pair[1]:.{digits}f}{unit}"


def _show_rows(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        write(f"{name:<{width}}  {value}".rstrip() + "\n")


# ---------------------------------------------------------------------- JSON


def as_document(outcome: Outcome) -> dict[str, Any]:
    """The JSON form; what is not a finite number is null."""
    totals = outcome.totals
    value, error = totals.perplexity
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "model": outcome.name,
        "size": None if outcome.file is None else outcome.file.size,
        "bits_per_weight": None if outcome.file is None else bits_per_weight(outcome.file),
        "windows": outcome.windows,
        "chunks": totals.chunks,
        "tokens_scored": totals.count,
        "perplexity": value,
        "perplexity_error": error,
        "nll": totals.log_perplexity[0],
        "bits_per_token": totals.bits_per_token,
        "bits_per_byte": totals.bits_per_byte,
        "bits_per_character": totals.bits_per_character,
        "tokens_per_second": outcome.rate,
    }
    if totals.base is not None:
        document["base"] = _comparison_document(Comparison.of(totals))
    return {key: finite(item) for key, item in document.items()}


def _comparison_document(found: Comparison) -> dict[str, Any]:
    pairs = ("ratio", "log_ratio", "difference", "kld", "dp", "rms_dp", "same_top")
    document: dict[str, Any] = {
        "perplexity": found.base_perplexity[0],
        "perplexity_error": found.base_perplexity[1],
        "correlation": found.correlation,
    }
    for name in pairs:
        document[name], document[f"{name}_error"] = getattr(found, name)
    document["kld_percentiles"] = {
        f"{at:g}": percentile(found.klds, at) for at in sorted(KLD_PERCENTS)
    }
    document["dp_percentiles"] = {
        f"{at:g}": percentile(found.dps, at) for at in sorted(DP_PERCENTS)
    }
    return document


def finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: null instead."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
