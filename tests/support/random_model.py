"""A file of a small model whose weights are random: for tests that only need some model.

llama in one layer of width 256, so that it can hold K-quants, with a SentencePiece vocabulary of
384 tokens; Q4_K_M, 317 kB. Loads and runs in no time.
"""

from __future__ import annotations

from pathlib import Path

RANDOM_MODEL = Path(__file__).parents[1] / "data" / "random.gguf"
RANDOM = str(RANDOM_MODEL)
"""The same, for a command line."""
