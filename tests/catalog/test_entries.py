"""models.toml: every key, every mistake, and new entries."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from random_model import RANDOM, RANDOM_MODEL

from zigllm_cli.catalog import entry_of, load_entries, read_models_toml, resolve, use_models_file
from zigllm_cli.catalog.adding import add
from zigllm_cli.catalog.entries import KEYS, SAMPLING_KEYS
from zigllm_cli.errors import InputError, UsageError

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_has_every_key_and_is_valid() -> None:
    path = ROOT / "models.example.toml"
    entries = read_models_toml(path)
    assert set(entries) == {"tiny", "big"}
    big = tomllib.loads(path.read_text())["models"]["big"]
    assert list(big) == list(KEYS)
    assert set(big["sampling"]) == set(SAMPLING_KEYS)
    assert entries["big"].settings["ctx"] == 8192
    assert entries["big"].sampling["temperature"] == 0.7


def test_sampling_keys_are_the_options() -> None:
    from zigllm_cli.commands._sampling import SamplingOptions

    assert set(SAMPLING_KEYS) == {field.name for field in fields(SamplingOptions)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[models.a\n", r"models\.toml is not valid TOML: .*line 1"),
        (
            '[models.a]\npath = "x"\nctx = "8"',
            r"models\.toml: models\.a\.ctx is '8', but must be a",
        ),
        (
            '[models.a]\npath = "x"\nctx = true',
            r"models\.a\.ctx is True, but must be a whole number",
        ),
        ('[models.a]\npath = "x"\nctx = 1.5', r"models\.a\.ctx is 1\.5"),
        (
            '[models.a]\npath = "x"\ncontext = 1',
            r"models\.a\.context is unknown; known keys are path",
        ),
        ('[models.a]\npath = "x"\nsampling = 3', r"models\.a\.sampling is 3, but must be a table"),
        ('[models.a]\npath = "x"\nsampling.temp = 3', r"models\.a\.sampling\.temp is unknown"),
        (
            '[models.a]\npath = "x"\nsampling.top_p = "1"',
            r"sampling\.top_p is '1', but must be a num",
        ),
    ],
)
def test_mistakes_are_told_with_file_and_place(text: str, message: str) -> None:
    Path("models.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_entries()


def test_the_named_file_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("named", "variable"):
        Path(f"{name}.toml").write_text(f'[models.a]\npath = "{name}.gguf"\n')
    Path("models.toml").write_text('[models.b]\npath = "b.gguf"\n')
    monkeypatch.setenv("ZIGLLM_MODELS", "variable.toml")
    assert resolve("a") == Path("variable.gguf")
    try:
        use_models_file(Path("named.toml"))
        assert resolve("a") == Path("named.gguf")
        assert set(load_entries()) == {"a", "b"}
    finally:
        use_models_file(None)
    with pytest.raises(InputError, match=r"--models nowhere\.toml is not a file"):
        use_models_file(Path("nowhere.toml"))
    monkeypatch.setenv("ZIGLLM_MODELS", "nowhere.toml")
    with pytest.raises(InputError, match=r"ZIGLLM_MODELS names nowhere\.toml"):
        resolve("a")


def test_a_new_name_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    model = tmp_path / 'odd "name" \\ é.gguf'
    model.touch()
    name, file = add(model, description="tab\t and \x7f")
    assert name == 'odd "name" \\ é'
    assert file == tmp_path / "config" / "zigllm" / "models.toml"
    first = "# mine\n" + file.read_text() + "# end"
    file.write_text(first)
    assert add(tmp_path / "b-00001-of-00003.gguf")[0] == "b"
    assert file.read_text().startswith(first + "\n\n")
    entries = load_entries()
    assert entries[name].path == model
    assert entries[name].description == "tab\t and \x7f"
    assert entries["b"].path == tmp_path / "b-00001-of-00003.gguf"
    with pytest.raises(UsageError, match="has a model 'b' already"):
        add(model, "b")
    for wrong in ("", "builtin", "a/b", "a\nb"):
        with pytest.raises(UsageError, match="can't be the name"):
            add(model, wrong)


def test_settings_come_from_where_they_should(zigllm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Option, environment, models.toml, the model's file, default: each where the others are
    silent, and told so."""
    Path("models.toml").write_text(
        f"[models.m]\npath = {json.dumps(RANDOM)}\nctx = 64\nthreads = 1\n"
        "kv_type = 'q8_0'\nsampling.temperature = 0.1\nsampling.top_k = 7\nsampling.top_p = 0.5\n"
    )
    assert entry_of("m") is not None
    monkeypatch.setenv("ZIGLLM_TEMPERATURE", "0.2")
    monkeypatch.setenv("ZIGLLM_TOP_K", "8")
    done = zigllm("chat", "-m", "m", "--temp", "0.3", "--show-config")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split(None, 2)[1:] for line in done.stdout.splitlines()}
    assert rows["model"] == ["m", "command line"]
    assert rows["temperature"] == ["0.3", "command line"]
    assert rows["top_k"] == ["8", "ZIGLLM_TOP_K"]
    assert rows["top_p"] == ["0.5", "models.toml: models.m.sampling.top_p"]
    assert rows["kv_type"] == ["q8_0", "models.toml: models.m.kv_type"]
    assert rows["ctx"] == ["64", "models.toml: models.m.ctx"]
    assert rows["min_p"] == ["0.05", "default"]
    monkeypatch.setenv("ZIGLLM_MODEL", "m")
    done = zigllm("chat", "--show-config")
    assert done.stdout.splitlines()[0].split() == ["model", "m", "ZIGLLM_MODEL"]
    done = zigllm("chat", "-m", RANDOM, "--show-config")
    assert "256" in done.stdout
    assert "the model's llama.context_length" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [("ZIGLLM_CTX", "many", "ZIGLLM_CTX is no good"), ("ZIGLLM_THREADS", "0", "ZIGLLM_THREADS")],
)
def test_a_bad_variable_is_named(
    zigllm: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = zigllm("generate", "x", "-m", "builtin")
    assert done.returncode == 2
    assert message in done.stderr


def test_models_may_be_named_anywhere(zigllm: Run) -> None:
    Path("mine.toml").write_text('[models.mine]\npath = "x.gguf"\n')
    for args in (("--models", "mine.toml", "models", "--json"), ("models", "--models=mine.toml")):
        done = zigllm(*args)
        assert "mine" in done.stdout, done.stderr
    done = zigllm("models", "--models", "nowhere.toml")
    assert done.returncode == 3


def test_the_list_and_a_new_name(zigllm: Run, tmp_path: Path) -> None:
    done = zigllm("models")
    assert done.returncode == 0
    assert "no models have names yet" in done.stderr
    (tmp_path / "m.gguf").write_bytes(RANDOM_MODEL.read_bytes())
    done = zigllm("models", "add", "m.gguf", "--description", "mine")
    assert (done.returncode, done.stdout) == (0, "m\n")
    (tmp_path / "no.gguf").write_text("no model")
    assert zigllm("models", "add", "no.gguf").returncode == 3
    Path("models.toml").write_text('[models.gone]\npath = "gone.gguf"\n')
    done = zigllm("models")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["name", "size", "type", "architecture", "description"]
    assert lines[1][:5] == ["gone", "-", "-", "-", "no"]
    assert lines[2][:2] == ["m", "317"]
    assert lines[2][3:] == ["Q4_K_M", "llama", "mine"]
