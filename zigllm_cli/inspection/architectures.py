"""What can be run, read off the classes of `models/`."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.models import FAMILIES, family

NORMS = {"rms": "RMSNorm", "layer": "LayerNorm"}
PAIRINGS = {"norm": "rotary, neighbours", "neox": "rotary, halves"}


@dataclass(frozen=True)
class ArchitectureRow:
    """One architecture.

    Attributes:
        name: `general.architecture`.
        models: that people know by it.
        kind: "decoder" or "encoder".
        norm, positions: what its blocks use; "" where the family has none of that kind.
        module: the file that computes it, in `zigllm_cli/models`.
    """

    name: str
    models: str
    kind: str
    norm: str
    positions: str
    module: str


def architecture_rows() -> list[ArchitectureRow]:
    """All of them, by name."""
    return [_row(name) for name in sorted(FAMILIES)]


def _row(name: str) -> ArchitectureRow:
    model = family(name)
    pairing = getattr(model, "pairing", None)
    return ArchitectureRow(
        name=name,
        models=(model.__doc__ or "").split("\n")[0].rstrip("."),
        kind="decoder" if getattr(model, "causal", True) else "encoder",
        norm=NORMS.get(getattr(model, "norm", ""), ""),
        positions=PAIRINGS.get(pairing, "") if pairing else getattr(model, "places", ""),
        module=FAMILIES[name].split(".")[0] + ".py",
    )
