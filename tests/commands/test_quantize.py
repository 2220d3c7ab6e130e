"""`zigllm quantize` and `zigllm imatrix` as a user runs them."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from zigllm_cli.app import run
from zigllm_cli.gguf import open_gguf
from zigllm_cli.quantization.importance import read_importance


@pytest.fixture
def model(kit: Path) -> Path:
    return kit / "models" / "llama-k256" / "model-f32.gguf"


def test_a_file_a_report_and_the_difference(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The losses that are reported are those that `inspect --diff` finds."""
    out = tmp_path / "o.gguf"
    assert run(["quantize", str(model), str(out), "Q4_K_M", "--report", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["type"] == "Q4_K_M"
    assert told["files"] == [str(out)]
    assert run(["inspect", str(model), "--diff", str(out), "--json"]) == 1  # they differ
    difference = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row["values"] for row in difference["tensors_changed"]}
    assert rows.keys() == told["loss"]["tensors"].keys()
    for name, row in told["loss"]["tensors"].items():
        assert rows[name]["rms"] == pytest.approx(row["rmse"], rel=1e-5)
        assert rows[name]["snr_db"] == pytest.approx(row["snr_db"], rel=1e-5)
    assert run(["quantize", str(model), str(out), "Q4_K_M", "--report"]) == 0
    screen = capsys.readouterr().out
    assert "where the error is, layer by layer" in screen
    assert max(map(len, screen.splitlines()[:-1])) <= 80
    assert run(["generate", "-m", str(out), "hi", "-n", "2"]) == 0


def test_a_dry_run_writes_nothing_and_says_the_size(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.gguf"
    assert run(["quantize", str(model), str(out), "Q5_K_S", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not out.exists()
    assert run(["quantize", str(model), str(out), "Q5_K_S"]) == 0
    capsys.readouterr()
    assert sum(tensor.nbytes for tensor in open_gguf(out).tensors.values()) == told["bytes"]


def test_a_size_is_kept_and_explained(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.gguf"
    assert run(["quantize", str(model), str(out), "--target-size", "320K"]) == 0
    assert "the best fixed mix of that size" in capsys.readouterr().out
    assert out.stat().st_size <= 320_000
    assert run(["quantize", str(model), "--advise"]) == 0
    assert "Q4_K_M" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["MODEL", "MODEL", "Q8_0"], 2, "the file being read"),
        (["MODEL", "o.gguf"], 2, "give one of TYPE"),
        (["MODEL", "o.gguf", "Q9"], 2, "Q9"),
        (["MODEL", "o.gguf", "Q8_0", "--target-size", "1M"], 2, "give one of TYPE"),
        (["MODEL", "o.gguf", "--target-size", "big"], 2, "big"),
        (["MODEL", "o.gguf", "--target-bpw", "nan"], 2, "--target-bpw nan must be above 0"),
        (["MODEL", "o.gguf", "--target-bpw", "-3"], 2, "--target-bpw -3 must be above 0"),
        (["MODEL", "o.gguf", "Q8_0", "--tensor-type-file", "MODEL"], 3, "is no UTF-8 text"),
        (["MODEL", "o.gguf", "IQ2_XS"], 1, "--imatrix FILE"),
        (["nowhere.gguf", "o.gguf", "Q8_0"], 3, "nowhere.gguf"),
        (["MODEL", "no/where/o.gguf", "Q8_0"], 3, "no/where"),
        (["MODEL", "o.gguf", "Q8_0", "--imatrix", "MODEL"], 3, "holds no importance matrix"),
        (["MODEL", "o.gguf", "Q8_0", "--tensor-type", "x"], 2, "REGEX=TYPE"),
        (["MODEL", "o.gguf", "Q8_0", "--prune-layers", "7"], 2, "7"),
    ],
)
def test_what_makes_no_sense(
    words: list[str],
    code: int,
    sentence: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.gguf").write_bytes(model.read_bytes())
    assert run(["quantize", *(word.replace("MODEL", "m.gguf") for word in words)]) == code
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") <= 2
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    assert (tmp_path / "m.gguf").read_bytes() == model.read_bytes()


def test_a_full_disk_leaves_nothing(model: Path, tmp_path: Path) -> None:
    (tmp_path / "o.gguf").write_text("an old file")

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [sys.executable, "-m", "zigllm_cli", "quantize", str(model), "o.gguf", "Q8_0"]
    done = subprocess.run(command, cwd=tmp_path, preexec_fn=small, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["o.gguf"]
    assert (tmp_path / "o.gguf").read_text() == "an old file"


TEXT = "Hear me speak, before we proceed any further. Speak, speak. " * 60


def test_a_matrix_is_computed_gone_on_with_and_put_together(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text(TEXT)
    model = str(kit / "real" / "stories260K-f32.gguf")
    asked = ["imatrix", "-m", model, "-f", "t.txt", "-c", "32"]
    assert run([*asked, "--chunks", "6", "-o", "whole.gguf"]) == 0
    assert run([*asked, "--chunks", "2", "-o", "part.gguf"]) == 0
    assert run([*asked, "--chunks", "4", "-o", "part.gguf", "--resume"]) == 0
    whole, part = (read_importance(f"{name}.gguf") for name in ("whole", "part"))
    assert part.chunks == whole.chunks == 6
    assert part.datasets == ["t.txt"]
    for name, entry in whole.entries.items():
        assert np.allclose(part.entries[name].sums, entry.sums, rtol=1e-5)
        assert part.entries[name].counts.tolist() == entry.counts.tolist() == [192]
    assert run([*asked, "--chunks", "3", "-o", "a.dat"]) == 0
    assert run([*asked, "--from-chunk", "3", "--chunks", "3", "-o", "b.gguf"]) == 0
    assert (
        run(["imatrix", "--in-file", "a.dat", "--in-file", "b.gguf", "-c", "32", "-o", "both.gguf"])
        == 0
    )
    both = read_importance("both.gguf")
    for name, entry in whole.entries.items():
        assert np.allclose(both.entries[name].means(), entry.means(), rtol=1e-3)
    capsys.readouterr()
    for form in ("whole.gguf", "a.dat"):
        words = ["quantize", model, "o.gguf", "IQ4_NL", "--imatrix", form]
        assert run(words) == 0
        assert open_gguf("o.gguf").metadata["quantize.imatrix.file"] == form


def test_ctrl_c_keeps_what_there_is(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT * 400)
    model = str(kit / "real" / "stories260K-f32.gguf")
    words = ["imatrix", "-m", model, "-f", "t.txt", "-c", "64", "-o", "m.gguf", "--save-every", "2"]
    command = [sys.executable, "-m", "zigllm_cli", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "m.gguf").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    assert process.returncode == 130
    assert "Traceback" not in error
    assert read_importance(tmp_path / "m.gguf").chunks >= 2
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".gguf", ".txt"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["-f", "t.txt"], 2, "-o FILE"),
        (["-o", "m.gguf"], 2, "-f FILE"),
        (["-f", "t.txt", "-o", "m.gguf"], 3, "not enough for chunk 1"),
        (["-f", "no.txt", "-o", "m.gguf"], 3, "no.txt"),
        (["--in-file", "t.txt", "-o", "m.gguf"], 3, "neither a GGUF file nor"),
        (["-f", "t.txt", "-o", "m.gguf", "--output-format", "csv"], 2, "gguf or dat"),
    ],
)
def test_matrices_that_make_no_sense(
    words: list[str],
    code: int,
    sentence: str,
    kit: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("short")
    model = str(kit / "real" / "stories260K-f32.gguf")
    assert run(["imatrix", "-m", model, *words]) == code
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]
