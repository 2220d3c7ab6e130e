"""Damaged files: whatever a byte is changed to, an answer or one of our own errors."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from zigllm_cli.errors import ZigllmError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.inspection.check import check
from zigllm_cli.inspection.diff import diff
from zigllm_cli.inspection.formats import document
from zigllm_cli.inspection.listing import metadata_rows, tensor_rows
from zigllm_cli.inspection.statistics import statistics
from zigllm_cli.inspection.summary import summarise
from zigllm_cli.inspection.tokens import vocabulary


@pytest.mark.parametrize("name", ["llama-k256", "gemma3", "mamba", "qwen2moe", "bert-cls"])
def test_damaged_files(kit: Path, tmp_path: Path, name: str) -> None:
    source = kit / "models" / name / "model-f32.gguf"
    good, original = source.read_bytes(), open_gguf(source)
    stop = original.headers[0].data_start
    path, chance = tmp_path / "damaged.gguf", random.Random(name)
    opened = 0
    while opened < 25:
        data = bytearray(good)
        for _ in range(chance.choice((1, 2, 8))):
            place = chance.randrange(24, stop if chance.random() < 0.8 else len(data))
            data[place] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
        path.write_bytes(data)
        try:
            file = open_gguf(path)
        except ZigllmError:
            continue
        opened += 1
        for answer in (summarise(file), summarise(file, 7), check(file), diff(original, file)):
            json.dumps(document("any", answer), allow_nan=False)
        assert len(metadata_rows(file)) == len(file.metadata)
        assert len(tensor_rows(file)) == len(file.tensors)
        json.dumps([token.json() for token in vocabulary(file)], allow_nan=False)
        tensor = file.tensors[chance.choice(list(file.tensors))]
        json.dumps(document("tensor", statistics(tensor)), allow_nan=False)
