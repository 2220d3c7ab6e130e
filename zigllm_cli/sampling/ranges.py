"""Legal ranges of settings, said in one sentence."""

from __future__ import annotations

from math import inf, isfinite

from zigllm_cli.errors import UsageError


def require(name: str, value: float, low: float, high: float = inf, *, note: str = "") -> None:
    """Refuse a value outside low..high (both legal), or none at all (NaN).

    Raises:
        UsageError: names the setting, the value and the range.
    """
    if low <= value <= high and isfinite(value):
        return
    if low == -inf:
        legal = "a number"
    elif high == inf:
        legal = f"{low:g} or more"
    else:
        legal = f"from {low:g} to {high:g}"
    raise UsageError(f"{name} is {value:g}, but must be {legal}" + (f" ({note})" if note else ""))
