"""The conversations of `conversations.py`, as a fixture."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def talks() -> ModuleType:
    """The module: pytest's importlib mode leaves `sys.path` alone."""
    spec = spec_from_file_location("conversations", Path(__file__).with_name("conversations.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
