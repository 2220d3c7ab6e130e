"""Compare the keys and tensors of a file with what its architecture needs (`expected`)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from zigllm_cli.gguf import Array
from zigllm_cli.inspection.described import Described, Shaped
from zigllm_cli.inspection.expected import COMMON_KEYS, EXPECTED, SHAPES, UNUSUAL_ATTENTION
from zigllm_cli.inspection.findings import Finding, note, problem
from zigllm_cli.inspection.hyper import Hyperparameters
from zigllm_cli.inspection.needs import Choice, Item, Needs, Rule, rules

BLOCK = re.compile(r"blk\.(\d{1,9})\.(.+)")
MAX_EXPERTS = 4096
IGNORED = (".scale", ".input_scale", ".weight_scale")
"""Endings of per-tensor scales, which any matrix may have beside it."""


def check_keys(file: Described) -> Iterator[Finding]:
    """Keys that the architecture needs and the file lacks."""
    needs = EXPECTED.get(file.architecture)
    if needs is None:
        return
    for word in (*COMMON_KEYS.split(), *needs.keys.split()):
        key = word[1:] if word.startswith(".") else f"{file.architecture}.{word}"
        value = file.metadata.get(key)
        if value is None:
            yield problem("metadata", f"{key} is missing; {file.architecture} models need it", key)
        elif isinstance(value, str) or (isinstance(value, Array) and not len(value)):
            yield problem("metadata", f"{key} is {value!r:.40}, not a number", key)


def check_tensors(file: Described) -> Iterator[Finding]:
    """Tensors that are missing, too many, or of another shape than the keys say."""
    needs = EXPECTED.get(file.architecture)
    if not file.tensors:
        yield note("tensors", "the file has no tensors, only metadata and vocabulary")
    elif needs is None:
        name = repr(file.architecture) if file.architecture else "(none)"
        yield note("tensors", f"no table for architecture {name}, tensors not compared")
    else:
        yield from _Comparison(file, needs).findings()
        yield from _check_shapes(file)


class _Comparison:
    """Which tensors are there, block by block, against one row of the table."""

    def __init__(self, file: Described, needs: Needs) -> None:
        self.needs = needs
        self.hyper = Hyperparameters(file)
        self.experts = self.hyper.number("expert_count")
        self.whole: set[str] = set()
        self.blocks: dict[int, set[str]] = defaultdict(set)
        for name in file.tensors:
            match = BLOCK.fullmatch(name)
            if match:
                self.blocks[int(match[1])].add(match[2])
            else:
                self.whole.add(name)
        self.known_whole: set[str] = set()
        self.known_in_block: set[str] = set()
        self.seen_optional: Counter[str] = Counter()
        self.asked_optional: dict[str, list[int]] = defaultdict(list)

    def findings(self) -> Iterator[Finding]:
        """Everything that differs, the model as a whole first."""
        for name in self._missing(rules(self.needs.whole), self.whole, self.known_whole, None):
            yield problem("tensors", f"{name} is missing", _first_name(name))
        yield from self._block_findings()
        yield from self._uneven_findings()
        yield from self._extra_findings()

    def _block_findings(self) -> Iterator[Finding]:
        layers = self.hyper.layers
        present = sorted(number for number in self.blocks if number < layers)
        empty = sorted(set(range(layers)) - set(present))
        if empty:
            yield problem("tensors", f"block_count is {layers}, but {_blocks(empty)} has no tensor")
        lacking: dict[str, list[int]] = defaultdict(list)
        for number in present:
            ruleset = rules(self._block_rules(number))
            for name in self._missing(ruleset, self.blocks[number], self.known_in_block, number):
                lacking[name].append(number)
        for name, numbers in lacking.items():
            first = f"blk.{numbers[0]}.{_first_name(name)}"
            yield problem("tensors", f"{_blocks(numbers)}.{name} is missing", first)

    def _block_rules(self, number: int) -> str:
        needs = self.needs
        is_dense = self.experts <= 0 or number < self.hyper.number("leading_dense_block_count")
        return f"{needs.block} {needs.dense if is_dense else needs.experts}"

    def _missing(
        self, ruleset: Iterable[Rule], present: set[str], known: set[str], block: int | None
    ) -> list[str]:
        """Names that are required and not among `present`; remembers all names it meets."""
        missing = []
        for rule in ruleset:
            if isinstance(rule, Choice):
                missing += self._missing_of_choice(rule, present, known, block)
                continue
            for name in self._names(rule.name):
                known.add(name)
                if name in present:
                    self.seen_optional[name] += not rule.is_required
                elif rule.is_required and (not rule.needs or rule.needs in present):
                    missing.append(name)
                if not rule.is_required and block is not None:
                    self.asked_optional[name].append(block)
        return missing

    def _missing_of_choice(
        self, choice: Choice, present: set[str], known: set[str], block: int | None
    ) -> list[str]:
        """What the option that is most nearly there lacks; all options where nothing is there."""
        names = [set(self._all_names(option)) for option in choice.options]
        known.update(*names)
        counts = [len(option & present) for option in names]
        if not any(counts):
            first, *others = (
                self._missing(option, present, known, None) for option in choice.options
            )
            rest = " or ".join(" + ".join(other) for other in others if other)
            return [f"{' + '.join(first)} (or {rest})"] if first and rest else []
        best = max(range(len(counts)), key=lambda i: (counts[i] / len(names[i]), counts[i]))
        return self._missing(choice.options[best], present, known, block)

    def _all_names(self, ruleset: Iterable[Rule]) -> Iterator[str]:
        for rule in ruleset:
            if isinstance(rule, Item):
                yield from self._names(rule.name)
            else:
                for option in rule.options:
                    yield from self._all_names(option)

    def _names(self, name: str) -> list[str]:
        if "#" not in name:
            return [name]
        return [name.replace("#", str(i)) for i in range(min(self.experts, MAX_EXPERTS))]

    def _uneven_findings(self) -> Iterator[Finding]:
        """Optional tensors that some blocks have and others, which could, do not."""
        for name, numbers in self.asked_optional.items():
            lacking = [number for number in numbers if name not in self.blocks[number]]
            if lacking and len(lacking) < len(numbers):
                text = f"{_blocks(lacking)}.{name} is missing; other blocks have one"
                yield problem("tensors", text, f"blk.{lacking[0]}.{name}")

    def _extra_findings(self) -> Iterator[Finding]:
        limit = self.hyper.number("block_count")
        extra: dict[str, list[int]] = defaultdict(list)
        for number, names in self.blocks.items():
            if number >= self.hyper.layers:
                if number >= limit > 0:
                    extra["*"].append(number)
                continue
            for name in names - self.known_in_block:
                if not name.endswith(IGNORED):
                    extra[name].append(number)
        for name in sorted(self.whole - self.known_whole):
            if not name.endswith(IGNORED):
                yield note("tensors", f"{name} is not part of the architecture", name)
        for name, numbers in sorted(extra.items()):
            text = f"{_blocks(sorted(numbers))}.{name} is not part of the architecture"
            yield note("tensors", text)


def _first_name(label: str) -> str:
    return label.split()[0]


def _blocks(numbers: list[int]) -> str:
    """`blk.3` for one block, `blk.{0-7,9}` for several."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    parts = [str(start) if start == stop else f"{start}-{stop}" for start, stop in runs]
    if len(parts) > 6:
        parts = [*parts[:5], f"... {len(numbers)} blocks"]
    return f"blk.{parts[0]}" if len(numbers) == 1 else f"blk.{{{','.join(parts)}}}"


def _check_shapes(file: Described) -> Iterator[Finding]:
    hyper = Hyperparameters(file)
    whole = _whole_sizes(file, hyper)
    per_block = _block_sizes(file, hyper)
    for tensor in file.tensors.values():
        match = BLOCK.fullmatch(tensor.name)
        number = int(match[1]) if match else 0
        name = match[2] if match else tensor.name
        if name not in SHAPES or (match and number >= len(per_block)):
            continue
        if name.startswith("attn_") and file.architecture in UNUSUAL_ATTENTION:
            continue
        sizes = {**whole, **(per_block[number] if match else {})}
        expected = [sizes.get(word) for word in SHAPES[name].split()]
        if not _fits(tensor, expected):
            wanted = ", ".join("*" if size is None else str(size) for size in expected)
            found = ", ".join(map(str, tensor.shape))
            text = f"{tensor.name} has the shape [{found}], the metadata asks for [{wanted}]"
            yield problem("tensors", text, tensor.name)


def _fits(tensor: Shaped, expected: list[int | None]) -> bool:
    shape = list(tensor.shape)
    while len(shape) > len(expected) and shape[-1] == 1:
        shape.pop()
    shape += [1] * (len(expected) - len(shape))
    return len(shape) == len(expected) and all(
        want is None or have == want for have, want in zip(shape, expected, strict=True)
    )


def _whole_sizes(file: Described, hyper: Hyperparameters) -> dict[str, int | None]:
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    vocab = len(tokens) if isinstance(tokens, Sequence) else hyper.number("vocab_size")
    return {
        "embd": hyper.number("embedding_length") or None,
        "vocab": vocab or None,
        "context": hyper.number("context_length") or None,
        "expert": hyper.number("expert_count") or None,
        "*": None,
    }


def _block_sizes(file: Described, hyper: Hyperparameters) -> list[dict[str, int | None]]:
    key, value = hyper.head_lengths()
    widths = hyper.per_layer("feed_forward_length", 0)
    sizes: list[dict[str, int | None]] = []
    for heads, kv, width in zip(hyper.heads(), hyper.kv_heads(), widths, strict=True):
        ff = width // 2 if file.architecture == "qwen" else width  # Qwen 1 states gate and up
        parts = {"q": heads * key, "k": kv * key, "v": kv * value}
        sizes.append(
            {
                **{name: size or None for name, size in parts.items()},
                "qkv": sum(parts.values()) or None,
                "heads": heads * value or None,
                "ff": ff or None,
                "up": (2 * ff if file.architecture in ("phi3", "glm4") else ff) or None,
            }
        )
    return sizes
