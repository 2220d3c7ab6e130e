"""What a model argument may be."""

from __future__ import annotations

from pathlib import Path

import pytest

import zigllm_cli
from zigllm_cli.catalog import complete_model, read_models_toml, resolve
from zigllm_cli.errors import InputError, UsageError


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_builtin_is_a_model() -> None:
    assert resolve("builtin").is_file()
    assert zigllm_cli.load("builtin").file.architecture == "llama"


def test_a_path_is_itself(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    assert resolve("a.gguf") == Path("a.gguf")
    assert resolve(tmp_path / "a.gguf") == tmp_path / "a.gguf"


def test_aliases_are_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config" / "zigllm"
    config.mkdir(parents=True)
    (config / "models.toml").write_text('[models.a]\npath = "config.gguf"\n')
    Path("models.toml").write_text(
        '[models.a]\npath = "here.gguf"\n[models.b]\npath = "~/b.gguf"\n'
    )
    assert resolve("a") == config / "config.gguf"
    assert resolve("b") == tmp_path / "b.gguf"
    Path("mine.toml").write_text('[models.a]\npath = "/x/mine.gguf"\n')
    monkeypatch.setenv("ZIGLLM_MODELS", "mine.toml")
    assert resolve("a") == Path("/x/mine.gguf")


def test_an_unknown_name_is_told_its_neighbour() -> None:
    Path("models.toml").write_text('[models.tinyllama]\npath = "a.gguf"\n')
    with pytest.raises(InputError, match=r"no model 'tinylama'.*did you mean 'tinyllama'"):
        resolve("tinylama")
    Path("phi3.gguf").touch()
    with pytest.raises(InputError, match=r"did you mean 'phi3\.gguf'"):
        resolve("phi.gguf")
    with pytest.raises(InputError, match="give a path"):
        resolve("zzz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[models.a", "not valid TOML"),
        ("[other]", "unknown table 'other'"),
        ("models = 3", "must be a table"),
        ("[models]\na = 1", r"models\.a is 1; write it as a table"),
        ("[models.a]\nnope = 3", r"models\.a\.nope is unknown; known keys are path"),
        ("[models.a]\npath = 3", r"models\.a\.path is 3, but must be a text"),
        ("[models.a]", r"models\.a has no path"),
    ],
)
def test_mistakes_in_models_toml_are_named(text: str, message: str) -> None:
    Path("models.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_models_toml(Path("models.toml"))


def test_completion_offers_aliases_and_files() -> None:
    Path("models.toml").write_text('[models.beta]\npath = "a.gguf"\n')
    Path("b.gguf").touch()
    Path("b.txt").touch()
    Path("books").mkdir()
    assert complete_model("b") == ["builtin", "beta", "b.gguf", "books/"]
    assert complete_model("books/") == []
