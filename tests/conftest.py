"""Shared fixtures: the conformance kit, a clean environment, the command line as a process."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: speed stands in benchmarks.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

ROOT = Path(__file__).resolve().parents[1]
KIT = Path(os.environ.get("ZIGLLM_KIT", ROOT.parent / "shared" / "kit"))

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def kit() -> Path:
    """The folder of reference data from independent engines; the test is skipped without it."""
    if not KIT.is_dir():
        pytest.skip("the conformance kit is not here (set ZIGLLM_KIT)")
    return KIT


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own settings reaches a test."""
    for name in list(os.environ):
        if name.startswith("ZIGLLM_") and name != "ZIGLLM_KIT":
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def zigllm() -> Run:
    """Run `zigllm ARGS...` as a process and return its exit code, stdout and stderr."""

    def run(*args: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zigllm_cli", *map(str, args)]
        # pytest loads readline, which sets COLUMNS behind the back of os.environ
        defaults: dict[str, object] = {
            "capture_output": True,
            "text": True,
            "timeout": 120,
            "env": dict(os.environ),
        }
        return subprocess.run(command, **{**defaults, **options})  # type: ignore[call-overload]

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that ask another engine are skipped, and counted, where it is not installed."""
    missing = [name for name in ("llama_cpp", "transformers") if find_spec(name) is None]
    if missing:
        reason = f"{' and '.join(missing)} not installed (extra `compare`)"
        for item in items:
            if item.get_closest_marker("oracle"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def llama_vocab() -> Callable[[Path], LlamaVocab]:
    """Open a vocabulary with llama.cpp: `llama_vocab(path).tokenize(text)`."""
    import llama_cpp

    silence = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silence, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    opened: dict[Path, LlamaVocab] = {}

    def load(path: Path) -> LlamaVocab:
        if path not in opened:
            opened[path] = LlamaVocab(path)
        return opened[path]

    load.silence = silence  # type: ignore[attr-defined]  # llama.cpp keeps calling it
    return load


class LlamaVocab:
    """llama.cpp's own tokenizer of one file, through llama-cpp-python's C interface."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self._api = llama_cpp
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        assert self._model, f"llama.cpp does not load {path}"
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)

    def tokenize(
        self, text: str | bytes, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        raw = text if isinstance(text, bytes) else text.encode("utf-8")
        room = 4 * len(raw) + 8  # a byte that is not UTF-8 becomes three tokens
        ids = (self._api.llama_token * room)()
        count = self._api.llama_tokenize(
            self._vocab, raw, len(raw), ids, room, add_special, parse_special
        )
        assert count >= 0
        return list(ids[:count])

    def piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(4096)
        size = self._api.llama_token_to_piece(self._vocab, token, buffer, 4096, 0, special)
        assert size >= 0
        return buffer.raw[:size]

    def ends_generation(self, token: int) -> bool:
        return bool(self._api.llama_vocab_is_eog(self._vocab, token))

    def __len__(self) -> int:
        return int(self._api.llama_vocab_n_tokens(self._vocab))
