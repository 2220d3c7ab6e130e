"""Fixtures for tokenizers: random vocabularies and the comparison with llama.cpp."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from zigllm_cli.gguf import open_gguf
from zigllm_cli.tokenizers import Tokenizer, from_metadata


def _neighbour(name: str) -> ModuleType:
    """A helper module of this folder; pytest's importlib mode leaves `sys.path` alone."""
    spec = spec_from_file_location(f"tokenizer_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def vocabularies() -> ModuleType:
    """The module `vocabularies.py`."""
    return _neighbour("vocabularies")


@pytest.fixture(scope="session")
def charsmap() -> bytes:
    """The rules of `charsmaps.py`, packed."""
    packed: bytes = _neighbour("charsmaps").charsmap()
    return packed


@pytest.fixture(scope="session")
def vocabulary_file(
    vocabularies: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Write a random vocabulary: `vocabulary_file(kind, seed, **values)`."""
    folder = tmp_path_factory.mktemp("vocabularies")
    written: dict[str, Path] = {}

    def write(kind: str, seed: int = 0, **values: Any) -> Path:
        key = f"{kind} {seed} {values}"
        if key not in written:
            written[key] = vocabularies.KINDS[kind](folder / f"{len(written)}.gguf", seed, **values)
        return written[key]

    return write


@pytest.fixture(scope="session")
def load() -> Callable[[Path], Tokenizer]:
    """Our tokenizer for a GGUF file."""
    return lambda path: from_metadata(open_gguf(path).metadata)


@pytest.fixture(scope="session")
def tiny(
    vocabularies: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Tokenizer]:
    """A tokenizer from its rows: `tiny(model, [(text, type, score), ...], **values)`."""
    folder = tmp_path_factory.mktemp("tiny")
    count = iter(range(1_000_000))

    def make(model: str, rows: list[tuple[str, int, float]], **values: Any) -> Tokenizer:
        path = vocabularies.write(folder / f"{next(count)}.gguf", model, rows, **values)
        return from_metadata(open_gguf(path).metadata)

    return make


@pytest.fixture
def oracle(llama_vocab: Callable[[Path], Any]) -> Iterator[Callable[[Path], Any]]:
    """`llama_vocab` for a file of this test alone: freed at its end, with the names of ours."""
    opened: list[Any] = []

    def make(path: Path) -> Any:
        opened.append(llama_vocab(path))
        return SimpleNamespace(encode=opened[-1].tokenize)

    yield make
    for theirs in opened:
        theirs._api.llama_model_free(theirs._model)


@pytest.fixture
def agree(
    llama_vocab: Callable[[Path], Any], load: Callable[[Path], Tokenizer]
) -> Callable[[Path, Iterable[str]], None]:
    """Assert that llama.cpp has the same ids for every text, and the same bytes for every id."""

    def check(path: Path, texts: Iterable[str]) -> None:
        ours, theirs = load(path), llama_vocab(path)
        assert len(ours) == len(theirs)
        for text, add_special, parse_special in product(texts, (False, True), (False, True)):
            options = {"add_special": add_special, "parse_special": parse_special}
            expected = theirs.tokenize(text.encode("utf-8", "surrogateescape"), **options)
            assert ours.encode(text, **options) == expected, (path, text, options)
        for token, special in product(range(len(ours)), (False, True)):
            expected = theirs.piece(token, special=special)
            assert ours.piece(token, render_special=special) == expected, (path, token)

    return check
