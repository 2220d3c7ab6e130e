"""Write GGUF files as a stream: metadata, then tensors chunk by chunk, in constant memory.

    write_gguf("new.gguf", entries, tensors)

Layout and split convention are described in `reader` and `model_file`; a file that follows the
specification's order is reproduced byte for byte. Knows neither where entries come from (see
`edit`) nor what the tensors' bytes mean.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Buffer, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from zigllm_cli.atomic import AtomicFiles
from zigllm_cli.errors import UnsupportedError, UsageError
from zigllm_cli.gguf.model_file import SHARD_NAME, Tensor, shard_path
from zigllm_cli.gguf.reader import DEFAULT_ALIGNMENT, MAGIC, MAX_NAME, Field, align, quoted
from zigllm_cli.gguf.types import SCALAR_CODES, TensorType, ValueType
from zigllm_cli.gguf.values import Array, Layout

CHUNK_SIZE = 8 << 20
MAX_SHARDS = 65_535
SPLIT_KEYS = ("split.no", "split.tensors.count", "split.count")
ZEROS = bytes(1 << 16)
