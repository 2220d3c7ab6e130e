"""The table of what can be run says something of every registered family."""

from __future__ import annotations

import json
from typing import Any

from zigllm_cli.inspection.architectures import architecture_rows
from zigllm_cli.models import FAMILIES


def test_every_family_has_a_row() -> None:
    rows = architecture_rows()
    assert [row.name for row in rows] == sorted(FAMILIES)
    assert all(row.models and len(row.models) <= 60 for row in rows)
    by_name = {row.name: row for row in rows}
    assert by_name["bert"].kind == "encoder"
    assert by_name["llama"].positions == "rotary, neighbours"
    assert by_name["bloom"].norm == "LayerNorm"


def test_the_view(zigllm: Any) -> None:
    done = zigllm("inspect", "--architectures", "--json")
    names = [row["name"] for row in json.loads(done.stdout)["architectures"]]
    assert names == sorted(FAMILIES)
    assert "Qwen 3" in zigllm("inspect", "--architectures").stdout
    assert "about zigllm, not about x.gguf" in zigllm("inspect", "x.gguf", "--architectures").stderr
