"""`zigllm bench`: lists, forms of output, profiles and factors; no figure is a condition."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.commands import _bench_measure as measuring
from zigllm_cli.commands._bench_ablate import Factor, f32_copy
from zigllm_cli.commands._bench_profile import Limits, Profile, Row, group
from zigllm_cli.commands.bench import numbers
from zigllm_cli.errors import UsageError
from zigllm_cli.quants import dequantize

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def model(kit: Path) -> Path:
    return kit / "real" / "stories260K-f32.gguf"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", [512]),
        ("1,2, 4", [1, 2, 4]),
        ("1-4", [1, 2, 3, 4]),
        ("1-9+4,2", [1, 5, 9, 2]),
        ("128-1024*2", [128, 256, 512, 1024]),
        ("0,0", [0]),
    ],
)
def test_lists(text: str, expected: list[int]) -> None:
    assert numbers("-p", text) == expected


@pytest.mark.parametrize("text", ["", "x", "1,,2", "-1", "4-1", "0-8*2", "1-8*1", "1-8+0"])
def test_lists_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="-p"):
        numbers("-p", text)
    with pytest.raises(UsageError, match="below 1"):
        numbers("-p", "0", least=1)


def test_combinations() -> None:
    tests = measuring.combine([512, 0], [128], [0, 64], [None, 1], [256])
    assert [test.name for test in tests] == ["pp512", "tg128", "pp512 @ d64", "tg128 @ d64"] * 2
    assert [test.threads for test in tests] == [None] * 4 + [1] * 4
    result = measuring.Result(tests[0], 2, (10.0, 12.0, 14.0))
    assert (result.mean, result.deviation, result.best) == (12, 2, 14)
    assert measuring.Result(tests[0], 2, (10.0,)).deviation == 0


def test_json(zigllm: Run, model: Path) -> None:
    done = zigllm("bench", "-m", model, "-p", "40", "-n", "3", "-d", "0,20", "-t", "1", "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "zigllm.bench/1"
    size = sum(tensor.n_elements for tensor in zigllm_cli.open_gguf(model).tensors.values())
    assert (document["type"], document["parameters"]) == ("llama F32", size)
    names = [result["test"] for result in document["results"]]
    assert names == ["pp40", "tg3", "pp40 @ d20", "tg3 @ d20"]
    for result in document["results"]:
        assert len(result["samples"]) == 5
        assert result["mean"] == pytest.approx(np.mean(result["samples"]))
        assert result["deviation"] == pytest.approx(np.std(result["samples"], ddof=1))
        assert result["best"] == max(result["samples"]) > 10
        assert result["threads"] == 1


def test_table_markdown_and_csv(zigllm: Run, model: Path) -> None:
    args = ("bench", "-m", model, "-p", "20", "-n", "2", "-r", "2", "-t", "1")
    table = zigllm(*args).stdout.splitlines()
    assert table[0].split() == ["model", "size", "params", "isa", "threads", "test", "tokens/s"]
    assert "pp20" in table[1]
    assert "tg2" in table[2]
    assert "±" in table[2]
    md = zigllm(*args, "--md", "-b", "8,16").stdout.splitlines()
    assert md[0] == "| model | size | params | isa | threads | batch | test | tokens/s |"
    assert md[1] == "| --- | --- | --- | --- | ---: | ---: | --- | ---: |"
    assert len(md) == 2 + 4
    rows = list(csv.DictReader(io.StringIO(zigllm(*args, "--csv").stdout)))
    assert [row["test"] for row in rows] == ["pp20", "tg2"]
    assert len(rows[0]["samples"].split()) == 2


def test_profile(zigllm: Run, model: Path) -> None:
    args = ("bench", "-m", model, "-p", "30", "-n", "1", "-r", "3", "-t", "1", "--profile")
    document = json.loads(zigllm(*args, "--json").stdout)
    assert len(document["profiles"]) == 2
    for profile in document["profiles"]:
        assert profile["limits"]["read"] > 0 < profile["limits"]["dot"]
        total = sum(row["seconds"] for row in profile["rows"])
        assert 0 < total == pytest.approx(profile["operations"])
        by_label = {row["label"]: row for row in profile["rows"]}
        tokens = profile["test"]["prompt"] or 1
        assert by_label["ffn_up"]["bytes"] == 5 * 64 * 172 * 4
        # behind the last attention only the token whose logits are wanted goes on
        assert by_label["ffn_up"]["macs"] == (4 * tokens + 1) * 64 * 172
    text = zigllm(*args).stdout
    assert text.count("all operations") == text.count("a step without clocks") == 2


def test_rows_of_a_profile() -> None:
    class Operation:
        def __init__(self, label: str, seconds: float, size: int) -> None:
            self.label, self.detail, self.seconds = label, "", seconds
            self.bytes, self.macs = size, 2 * size

    rows = group([Operation("a", 1, 10), Operation("b", 5, 20), Operation("a", 2, 30)])
    assert rows == (Row("b", "", 1, 5, 20, 40), Row("a", "", 2, 3, 40, 80))
    limits = Limits(read=10, dot=100).or_better(Limits(read=8, dot=200))
    assert limits == Limits(read=10, dot=200)
    assert rows[0].of_limit(limits) == pytest.approx(20 / 10 / 5)
    assert Row("c", "", 1, 2, 1, 200).of_limit(limits) == pytest.approx(200 / 200 / 2)
    test = measuring.Test(5, 0, 0, None, 512)
    assert Profile(test, 1, limits, rows, 9.0).total == 8


def test_a_copy_in_floats(kit: Path) -> None:
    file = zigllm_cli.open_gguf(kit / "real" / "stories260K-Q4_0.gguf")
    with f32_copy(file) as copy:
        assert copy is not None
        assert dict(copy.metadata) == dict(file.metadata)
        for name, tensor in file.tensors.items():
            values = dequantize(tensor.numpy(), tensor.type.name, tensor.row_length)
            other = copy.tensors[name]
            assert (other.type.name, other.shape) == ("F32", tensor.shape)
            assert other.numpy().tobytes() == values.tobytes()
        path = copy.path
    assert not path.exists()
    floats = zigllm_cli.open_gguf(kit / "real" / "stories260K-f32.gguf")
    with f32_copy(floats) as copy:
        assert copy is floats


@pytest.mark.slow
def test_ablation(zigllm: Run, kit: Path) -> None:
    args = ("-p", "64", "-n", "8", "-r", "2", "--ablate", "--json")
    done = zigllm("bench", "-m", kit / "real/stories260K-Q8_0.gguf", *args, timeout=600)
    document = json.loads(done.stdout)
    factors = {(each["without"], each["test"]): each for each in document["ablation"]}
    assert len(factors) == 10
    assert ("kernels: f32 products by BLAS", "pp64 products") in factors
    for each in factors.values():
        assert each["factor"] == pytest.approx(each["with_it"] / each["without_it"])
        assert each["with_it"] > 0 < each["without_it"]
    assert ("KV cache: everything again", "tg1 @ d64") in factors
    assert Factor("x", "y", 6, 3).factor == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-p", "0", "-n", "0"), "nothing to measure"),
        (("-t", "0"), "-t '0' has numbers below 1"),
        (("-p", "many"), "is not a list of numbers"),
        (("--json", "--md"), "--json and --md exclude each other"),
        (("--profile", "--ablate"), "--profile and --ablate exclude each other"),
        (("--profile", "--csv"), "--csv is for plain results"),
    ],
)
def test_mistakes(zigllm: Run, args: tuple[str, ...], message: str) -> None:
    done = zigllm("bench", "-m", RANDOM, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
