"""Fixtures for tokenizers: random vocabularies, llama.cpp as the oracle."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zigllm_cli.gguf import open_gguf
from zigllm_cli.tokenizers import Tokenizer, from_metadata


def _neighbour(name: str) -> ModuleType:
    """A helper module of this folder; pytest's importlib mode leaves `sys.path` alone."""
    spec = spec_from_file_location(f"tokenizer_tests_{name}", Path(__file__).with_name(f"{name}.py"))
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
def load() -> Callable[[Path], Tokenizer]:
    """Our tokenizer for a GGUF file."""
    return lambda path: from_metadata(open_gguf(path).metadata)


class Oracle:
    """llama.cpp's tokenizer for a GGUF file, through llama-cpp-python's thin layer."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self._api = llama_cpp
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise ValueError(f"llama.cpp does not read {path}")
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)

    def __len__(self) -> int:
        return int(self._api.llama_vocab_n_tokens(self._vocab))

    def encode(
        self, text: str, *, add_special: bool = True, parse_special: bool = False
    ) -> list[int]:
        """As `Tokenizer.encode`."""
        data = text.encode("utf-8", "surrogateescape")
        room = len(data) * 4 + 16
        ids = (self._api.llama_token * room)()
        count = self._api.llama_tokenize(
            self._vocab, data, len(data), ids, room, add_special, parse_special
        )
        assert count >= 0
        return list(ids[:count])

    def piece(self, token: int, *, render_special: bool = True) -> bytes:
        """As `Tokenizer.piece`."""
        import ctypes

        buffer = ctypes.create_string_buffer(4096)
        size = self._api.llama_token_to_piece(
            self._vocab, token, buffer, len(buffer), 0, render_special
        )
        assert size >= 0
        return buffer.raw[:size]

    def close(self) -> None:
        """Free the model."""
        self._api.llama_model_free(self._model)


@pytest.fixture(scope="session")
def _quiet_llama() -> Any:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python (extra `compare`)")
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, None)
    return quiet  # must outlive the models


@pytest.fixture
def oracle(_quiet_llama: Any) -> Iterator[Callable[[Path], Oracle]]:
    """Make an `Oracle` for a file; freed at the end of the test."""
    opened: list[Oracle] = []

    def make(path: Path) -> Oracle:
        opened.append(Oracle(path))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
