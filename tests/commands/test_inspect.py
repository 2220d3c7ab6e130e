"""`zigllm inspect` as a process: what each view prints, as text and as JSON, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from random_model import RANDOM, RANDOM_MODEL

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SUMMARY = """\
llama-k256  llama · 459.5 k parameters · 317 kB · Q4_K_M

context length  256 tokens
layers          1
width           256
heads           4 query, 1 key/value, 64 wide
feed-forward    256
vocabulary      384 tokens
tokenizer       SentencePiece (llama), pre-tokenizer default, adds bos
special tokens  bos 1 <s> · eos 2 </s> · unk 0 <unk>
chat template   none
tensors         11
file            FILE

type  tensors     size  bits/weight  share
Q4_K        5   157 kB         4.50   51%  ██████████▏
Q6_K        3   148 kB         6.56   48%  █████████▋
F32         3  3.07 kB        32.00    1%  ▎

memory at 256 tokens  weights 308 kB
cache     size  with weights
f32     131 kB        439 kB  fits
f16    65.5 kB        373 kB  fits
bf16   65.5 kB        373 kB  fits
q8_0   34.8 kB        342 kB  fits
q4_0   18.4 kB        326 kB  fits
"""

TENSORS = """\
name                      shape      type  bytes  offset
blk.0.attn_k.weight       256 x 64   Q4_K   9216   91424
blk.0.attn_norm.weight    256        F32    1024  100640
blk.0.attn_output.weight  256 x 256  Q4_K  36864  101664
blk.0.attn_q.weight       256 x 256  Q4_K  36864  138528
blk.0.attn_v.weight       256 x 64   Q6_K  13440  175392
"""

METADATA = """\
llama.attention.head_count              u32  4
llama.attention.head_count_kv           u32  1
llama.attention.layer_norm_rms_epsilon  f32  1e-06
llama.attention.key_length              u32  64
llama.attention.value_length            u32  64
"""


@pytest.fixture
def zigllm(zigllm: Run) -> Run:
    """The command line with Python's own view of the environment.

    GNU readline, which pytest imports, sets COLUMNS behind `os.environ`'s back.
    """

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return zigllm(*args, **{"env": dict(os.environ), **options})

    return run


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """The parsed JSON, refused where it holds NaN or Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in JSON")

    found = json.loads(done.stdout, parse_constant=refuse)
    assert found["schema"] == "zigllm.inspect/1"
    return found


def write_gguf(path: Path, tensors: dict[str, Any], **texts: str) -> Path:
    writer = gguf.GGUFWriter(path, "novel")
    for key, value in texts.items():
        writer.add_string(f"general.{key}", value)
    for name, data in tensors.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_summary(zigllm: Run) -> None:
    done = zigllm("inspect", RANDOM)
    *lines, machine = done.stdout.splitlines(keepends=True)
    text = "".join(lines)
    path = next(line.split()[1] for line in lines if line.startswith("file "))
    assert Path(path).name == "random.gguf"
    assert text.replace(path, "FILE") == SUMMARY
    assert machine.startswith("this machine has")
    assert (done.returncode, done.stderr) == (0, "")


def test_summary_as_json(zigllm: Run) -> None:
    found = document(zigllm("inspect", RANDOM, "--json", "--ctx", "1000", "--kv-type", "Q8_0"))
    assert found["view"] == "summary"
    assert found["parameters"] == 459_520
    assert found["mix"][0]["type"] == "Q4_K"
    assert found["memory"]["context"] == 1000
    assert found["memory"]["caches"] == [
        {"type": "q8_0", "bytes": 1000 * 2 * 64 // 32 * 34, "windowed_bytes": None}
    ]
    assert found["tokenizer"]["special"][0] == {
        "name": "bos",
        "id": 1,
        "text": "<s>",
        "source": "key",
    }


def test_no_model_means_the_builtin_one(zigllm: Run) -> None:
    done = zigllm("inspect")
    assert done.stdout.startswith(zigllm("inspect", "builtin").stdout.split("this machine")[0])
    assert done.stderr == "no model given: using builtin\n"


def test_context_has_llama_cpps_name_too(zigllm: Run) -> None:
    for spelling in ("--ctx", "--ctx-size"):
        assert "memory at 2,048 tokens" in zigllm("inspect", RANDOM, spelling, "2048").stdout


def test_tensors(zigllm: Run) -> None:
    done = zigllm("inspect", RANDOM, "--tensors", "blk.0.attn*")
    assert (done.returncode, done.stdout) == (0, TENSORS)
    assert done.stderr == "5 tensors, 164,096 values, 97.4 kB\n"
    found = document(zigllm("inspect", RANDOM, "--tensors", "--json"))
    assert len(found["tensors"]) == 11
    assert found["tensors"][1] == {
        "name": "token_embd.weight",
        "shape": [256, 384],
        "type": "Q6_K",
        "parameters": 98304,
        "bytes": 80640,
        "offset": 10784,
        "shard": 0,
    }


def test_metadata(zigllm: Run) -> None:
    assert zigllm("inspect", RANDOM, "--metadata", "llama.att*").stdout == METADATA
    whole = zigllm("inspect", RANDOM, "--metadata").stdout
    assert len(whole.splitlines()) == 27
    assert 'arr:str[384]  "<unk>", "<s>", "</s>", "<0x00>", ' in whole
    found = document(zigllm("inspect", RANDOM, "--metadata", "--json"))
    rows = {row["key"]: row for row in found["metadata"]}
    assert rows["tokenizer.ggml.tokens"]["count"] == 384
    assert len(rows["tokenizer.ggml.tokens"]["value"]) == 8
    assert rows["llama.attention.layer_norm_rms_epsilon"]["value"] == 1e-6


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("general.name", "llama-k256\n"),
        ("llama.rope.freq_base", "10000.0\n"),
        ("llama.attention.layer_norm_rms_epsilon", "1e-06\n"),
        ("tokenizer.ggml.add_bos_token", "true\n"),
    ],
)
def test_key(zigllm: Run, key: str, expected: str) -> None:
    assert zigllm("inspect", RANDOM, "--key", key).stdout == expected
    assert zigllm("inspect", RANDOM, "--metadata", "--key", key).stdout == expected
    assert document(zigllm("inspect", RANDOM, "--key", key, "--json"))["key"] == key


def test_key_of_an_array_has_a_line_for_each_element(zigllm: Run) -> None:
    lines = zigllm("inspect", RANDOM, "--key", "tokenizer.ggml.tokens").stdout.splitlines()
    assert (len(lines), lines[1], lines[263]) == (384, "<s>", "▁s")
    found = document(zigllm("inspect", RANDOM, "--key", "tokenizer.ggml.tokens", "--json"))
    assert (found["type"], found["value"]) == ("arr:str", lines)


def test_vocabulary(zigllm: Run) -> None:
    lines = zigllm("inspect", RANDOM, "--vocab").stdout.splitlines()
    assert len(lines) == 384
    assert lines[1] == "     1  control            0  <s>"
    assert zigllm("inspect", RANDOM, "--vocab", "▁m").stdout.split() == [
        "264",
        "normal",
        "-5",
        "▁m",
    ]
    found = document(zigllm("inspect", RANDOM, "--vocab", "--json"))
    assert (found["model"], found["size"], len(found["tokens"])) == ("llama", 384, 384)
    assert found["tokens"][3] == {"id": 3, "type": "byte", "score": 0.0, "text": "<0x00>"}
    none = document(zigllm("inspect", RANDOM, "--vocab", "nothing*", "--json"))
    assert none["tokens"] == []


def test_tensor(zigllm: Run) -> None:
    done = zigllm("inspect", RANDOM, "--tensor", "output_norm.weight")
    lines = done.stdout.splitlines()
    assert lines[0] == "output_norm.weight  256, F32, 1.02 kB"
    assert lines[2:9] == [
        "values  256",
        "min     0.37207",
        "max     1.57324",
        "mean    1.02838",
        "std     0.194974",
        "zeros   0",
        "NaN     0",
    ]
    assert "█" in lines[-2]
    found = document(zigllm("inspect", RANDOM, "--tensor", "output_norm.weight", "--json"))
    assert found["statistics"]["mean"] == pytest.approx(1.02838, abs=1e-5)
    assert sum(found["statistics"]["histogram"]["counts"]) == 256
    assert len(found["statistics"]["first"]) == 8


def test_tensor_with_nothing_finite(zigllm: Run, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", {"x": np.array([np.nan, np.inf, -np.inf], np.float32)})
    done = zigllm("inspect", path, "--tensor", "x")
    assert done.returncode == 0
    assert "NaN     1" in done.stdout
    assert "Inf     2" in done.stdout
    found = document(zigllm("inspect", path, "--tensor", "x", "--json"))
    assert found["statistics"]["first"] == [None, None, None]
    assert found["statistics"]["mean"] is None


def test_diff(zigllm: Run, kit: Path) -> None:
    folder = kit / "models" / "llama-k256"
    a, b = folder / "model-f32.gguf", folder / "model-Q4_K_M.gguf"
    done = zigllm("inspect", a, "--diff", b)
    assert done.returncode == 1
    text = done.stdout
    assert "keys: 1 differ, 26 equal; tensors: 8 differ, 3 equal" in text
    assert "general.file_type\n  - 0\n  + 15\n" in text
    assert "blk.0.attn_q.weight       F32 > Q4_K   0.0161  0.00447    7.140%  22.9 dB" in text
    found = document(zigllm("inspect", a, "--diff", b, "--json"))
    assert found["equal"] is False
    assert found["tensors_changed"][0]["values"]["snr_db"] == pytest.approx(34.99, abs=0.01)
    same = zigllm("inspect", a, "--diff", a)
    assert same.returncode == 0
    assert "no difference: 27 keys and 11 tensors are equal" in same.stdout
    assert zigllm("inspect", a, "*norm*", "--diff", b).returncode == 0


def test_check(zigllm: Run, tmp_path: Path) -> None:
    done = zigllm("inspect", RANDOM, "--check")
    assert (done.returncode, done.stdout) == (
        0,
        "no problems (11 tensors, 308 kB looked at)\n",
    )
    path = write_gguf(tmp_path / "a.gguf", {"x.weight": np.array([[np.nan, 1]], np.float32)})
    done = zigllm("inspect", path, "--check")
    assert done.returncode == 1
    assert done.stdout == (
        "problem  values     x.weight has 1 NaN and 0 infinite values of 2\n"
        "note     tokenizer  the file has no tokenizer\n"
        "note     tensors    no table for architecture 'novel', tensors not compared\n"
        "1 problem, 2 notes (1 tensors, 8 B looked at)\n"
    )
    found = document(zigllm("inspect", path, "--check", "--json"))
    assert (found["problems"], found["notes"]) == (1, 2)
    assert found["findings"][0]["severity"] == "problem"


def test_check_of_a_truncated_file(zigllm: Run, tmp_path: Path, model_bytes: bytes) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(model_bytes[:-20_000])
    done = zigllm("inspect", path, "--check")
    assert done.returncode == 3
    assert done.stdout.startswith("problem  file  tensor 'blk.0.ffn_up.weight' ends at byte")
    assert done.stdout.endswith("1 problem (0 tensors, 0 B looked at)\n")
    assert document(zigllm("inspect", path, "--check", "--json"))["problems"] == 1
    plain = zigllm("inspect", path)
    assert (plain.returncode, plain.stdout) == (3, "")
    assert plain.stderr.startswith(f"zigllm: {path}: tensor 'blk.0.ffn_up.weight' ends at")
    path.write_bytes(b"GGUF\x07\x00\x00\x00" + bytes(16))
    assert zigllm("inspect", path, "--check").returncode == 4


@pytest.fixture
def model_bytes() -> bytes:

    return RANDOM_MODEL.read_bytes()


def test_template_is_exact(zigllm: Run, kit: Path) -> None:
    path = kit / "vocab" / "ggml-vocab-phi-3.gguf"
    field = gguf.GGUFReader(path).fields["tokenizer.chat_template"]
    expected = bytes(field.parts[field.data[0]])
    done = zigllm("inspect", path, "--template", text=False)
    assert done.stdout == expected
    assert (
        document(zigllm("inspect", path, "--template", "--json"))["template"].encode() == expected
    )


def test_every_file_of_the_kit(kit: Path) -> None:
    """In one process: the summary and its JSON, lists, check."""
    code = (
        "import sys, json, io, contextlib\n"
        "from zigllm_cli.app import run\n"
        "for path in sys.argv[1:]:\n"
        "    for view in ((), ('--metadata',), ('--tensors',), ('--check',)):\n"
        "        for form in ((), ('--json',)):\n"
        "            out = io.StringIO()\n"
        "            out.fileno = lambda: 1\n"
        "            with contextlib.redirect_stdout(out):\n"
        "                code = run(['inspect', path, *view, *form])\n"
        "            assert code == 0 and out.getvalue(), (path, view, code)\n"
        "            if form: json.loads(out.getvalue(), parse_constant=lambda name: 1 / 0)\n"
    )
    paths = [*kit.glob("models/*/*.gguf"), *kit.glob("real/*.gguf")]
    paths += [kit / "vocab" / f"ggml-vocab-{name}.gguf" for name in ("bert-bge", "phi-3", "gpt-2")]
    command = [sys.executable, "-c", code, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (("nowhere.gguf",), 3, "no model 'nowhere.gguf': there is no such file"),
        (
            (RANDOM, "--key", "general.nam"),
            3,
            "has no key 'general.nam'; did you mean 'general.name' or ",
        ),
        (
            (RANDOM, "--tensor", "attn_q.weight"),
            3,
            "has no tensor 'attn_q.weight'; did you mean 'blk.0.attn_q.weight' or ",
        ),
        ((RANDOM, "--template"), 3, "has no chat template (tokenizer.chat_template)"),
        ((RANDOM, "--kv-type", "q3_k"), 2, "--kv-type 'q3_k' is unknown; use one of f32, f16"),
        ((RANDOM, "--ctx", "0"), 2, "Invalid value for '--ctx'"),
        ((RANDOM, "--metadata", "--tensors"), 2, "--metadata and --tensors exclude each other"),
        ((RANDOM, "blk*"), 2, "'blk*' would be a pattern for --metadata, --tensors"),
        ((RANDOM, "--vocab", "--ctx", "5"), 2, "--ctx and --kv-type belong to the summary"),
        ((RANDOM, "--type", "u32"), 2, "--type is the type of a value of --set"),
        ((RANDOM, "--set", "general.name=x"), 2, "name it with -o NEW.gguf"),
        ((RANDOM, "-o", "x.gguf"), 2, "say what with --set or --unset"),
        ((RANDOM, "--diff", "nowhere.gguf"), 3, "no model 'nowhere.gguf'"),
    ],
)
def test_mistakes(zigllm: Run, args: tuple[str, ...], code: int, sentence: str) -> None:
    done = zigllm("inspect", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("zigllm: ")


def test_text_of_the_file_cannot_move_the_cursor(zigllm: Run, tmp_path: Path) -> None:
    evil = "\x1b[2J\x07name\u202e"
    path = write_gguf(tmp_path / "a.gguf", {"x": np.ones(3, np.float32)}, name=evil, license=evil)
    for view in ((), ("--metadata",), ("--check",)):
        text = zigllm("inspect", path, *view).stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "\\x1b[2J\\x07name\\u202e" in zigllm("inspect", path).stdout
    assert zigllm("inspect", path, "--key", "general.name").stdout == evil + "\n"
    assert document(zigllm("inspect", path, "--json"))["name"] == evil


def test_ascii_output(zigllm: Run) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for view in ((), ("--tensor", "output_norm.weight")):
        done = zigllm("inspect", RANDOM, *view, env=environment)
        assert done.returncode == 0
        assert done.stdout.isascii()
        assert "#" in done.stdout
        assert "?" not in done.stdout


def test_a_closed_pipe_is_no_error(kit: Path) -> None:
    path = kit / "vocab" / "ggml-vocab-gpt-2.gguf"
    for form in ("", "--json"):
        command = f"{sys.executable} -m zigllm_cli inspect {path} --vocab {form} | head -2"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        assert (len(done.stdout.splitlines()), done.stderr) == (2, "")


def test_lists_are_not_cut_in_a_pipe(zigllm: Run, tmp_path: Path) -> None:
    name = "very." * 60 + "long"
    path = write_gguf(tmp_path / "a.gguf", {name: np.ones(3, np.float32)}, name="x" * 110)
    (line,) = zigllm("inspect", path, "--tensors").stdout.splitlines()[1:]
    assert line.split() == [name, "3", "F32", "12", line.split()[-1]]
    assert f"str  {'x' * 110}\n" in zigllm("inspect", path, "--metadata").stdout


def test_shards(zigllm: Run, tmp_path: Path, model_bytes: bytes) -> None:
    from zigllm_cli.gguf import open_gguf
    from zigllm_cli.gguf.edit import copy_gguf

    whole = tmp_path / "whole.gguf"
    whole.write_bytes(model_bytes)
    first, *others = copy_gguf(open_gguf(whole), tmp_path / "part.gguf", split_max_tensors=4)
    assert len(others) == 2
    assert "part-00001-of-00003.gguf and 2 more" in zigllm("inspect", first).stdout
    found = document(zigllm("inspect", first, "--json"))
    assert len(found["files"]) == 3
    listing = zigllm("inspect", first, "--tensors").stdout
    assert listing.splitlines()[-1].split()[-1] == "3"
    assert zigllm("inspect", first, "--check").stdout.startswith("no problems (11 tensors")
    done = zigllm("inspect", whole, "--diff", first)
    assert "11 equal" in done.stdout
    assert "0 differ, 11 equal" in done.stdout


def test_edit(zigllm: Run, tmp_path: Path) -> None:
    new = tmp_path / "new.gguf"
    done = zigllm(
        *("inspect", RANDOM, "--set", "general.name=My model", "--set", "x.count=5"),
        *("--unset", "general.size_label", "-o", new),
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"wrote {new} (317 kB)\n"
    difference = document(zigllm("inspect", RANDOM, "--diff", new, "--json"))
    assert [change["key"] for change in difference["keys_changed"]] == ["general.name"]
    assert difference["keys_only_in_a"] == ["general.size_label"]
    assert difference["keys_only_in_b"] == ["x.count"]
    assert difference["tensors_equal"] == 11
    assert zigllm("inspect", new, "--key", "x.count", "--json").stdout.count('"u32"') == 1
    again = zigllm(
        *("inspect", new, "--set", "x.count=7", "--type", "f32"),
        "-o",
        tmp_path / "b.gguf",
        "--json",
    )
    assert document(again)["files"] == [str(tmp_path / "b.gguf")]
    assert zigllm("inspect", tmp_path / "b.gguf", "--key", "x.count").stdout == "7.0\n"
    same = zigllm("inspect", new, "--set", "a.b=1", "-o", new)
    assert same.returncode == 2
    assert "is the file being read" in same.stderr


def test_views_load_only_what_they_need() -> None:
    code = (
        "import sys\nfrom zigllm_cli.app import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )

    def modules(*args: str) -> set[str]:
        command = [sys.executable, "-c", code, "inspect", *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return set(done.stderr.split())

    for args in (
        (),
        ("--json",),
        ("--metadata",),
        ("--tensors",),
        ("--vocab",),
        ("--key", "general.name"),
    ):
        assert not modules(RANDOM, *args) & {"numba", "gguf", "numpy", "regex", "rich.progress"}
    for args in (("--tensor", "output_norm.weight"), ("--check",), ("--diff", RANDOM)):
        assert not modules(RANDOM, *args) & {"numba", "gguf"}
    assert "rich.table" not in modules(RANDOM, "--json")


def test_json_numbers_are_finite(zigllm: Run, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "novel")
    writer.add_float32("x.nan", float("nan"))
    writer.add_array("x.list", [float("inf"), 1.0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    path = tmp_path / "a.gguf"
    assert document(zigllm("inspect", path, "--key", "x.nan", "--json"))["value"] is None
    rows = document(zigllm("inspect", path, "--metadata", "--json"))["metadata"]
    assert rows[-1]["value"] == [None, 1.0]
    assert isfinite(rows[-1]["value"][1])
    assert zigllm("inspect", path, "--key", "x.nan").stdout == "nan\n"
