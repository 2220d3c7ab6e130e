"""ERNIE 4.5 (dense) computes what LLaMA does. Baidu 2025."""

from __future__ import annotations

from zigllm_cli.models.llama import Llama


class Ernie45(Llama):
    """ERNIE 4.5, dense."""
