"""The first screen of `zigllm inspect`: facts, quantisation mix, memory."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from zigllm_cli.commands._charts import bar, blocks_wanted
from zigllm_cli.commands._output import human_bytes, human_count, printable, show, stdout_console

if TYPE_CHECKING:
    from rich.console import Console

    from zigllm_cli.inspection.memory import Memory
    from zigllm_cli.inspection.summary import Shape, Summary
    from zigllm_cli.inspection.tokens import SpecialToken, TokenizerFacts

BAR = 20
NARROW = 64
"""Columns below which bars and remarks are left out."""

VERDICTS = {"fits": "green", "tight": "yellow", "too large": "red"}


def show_summary(summary: Summary, *, memory_wanted: bool = False) -> None:
    """Print the screen on stdout; memory of a file without weights only where it is wanted."""
    console = stdout_console()
    dot = " · " if blocks_wanted(sys.stdout) else " | "
    title = Text(printable(summary.name), "bold")
    title.append(f"  {dot.join(_headline(summary))}", "not bold")
    show(console, title, "", _facts(summary, dot))
    if summary.mix:
        show(console, "", _mix(summary, console))
    if summary.memory.weights or memory_wanted:
        show(console, "", *_memory(summary.memory, console.width >= NARROW))


def _headline(summary: Summary) -> list[str]:
    words = [printable(summary.architecture) or printable(summary.type or "no architecture")]
    if summary.parameters:
        words.append(f"{human_count(summary.parameters)} parameters")
    words.append(human_bytes(summary.file_bytes))
    if summary.file_type:
        words.append(summary.file_type)
    return words


def _facts(summary: Summary, dot: str) -> Table:
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in [
        *_shape_facts(summary),
        *_tokenizer_facts(summary.tokenizer, dot),
        ("chat template", _templates(summary)),
        *_file_facts(summary),
    ]:
        grid.add_row(label, value)
    return grid


def _shape_facts(summary: Summary) -> list[tuple[str, str]]:
    shape = summary.shape
    facts = [
        ("context length", _context(shape, summary.memory)),
        ("layers", _number(shape.block_count)),
        ("width", _number(shape.embedding_length)),
        ("heads", _heads(shape)),
        ("feed-forward", _span(shape.feed_forward_length)),
    ]
    if shape.expert_count:
        used = f"{_number(shape.expert_count)}, {shape.expert_used_count or '?'} used per token"
        active = human_count(summary.active_parameters)
        facts.append(("experts", f"{used} ({active} parameters active)"))
    return [(label, value) for label, value in facts if value]


def _context(shape: Shape, memory: Memory) -> str:
    if not shape.context_length:
        return ""
    text = f"{shape.context_length:,} tokens"
    if shape.rope_scaling:
        factor = f" x{shape.rope_factor:g}" if shape.rope_factor else ""
        text += f", {printable(shape.rope_scaling)}{factor}"
    original = shape.original_context_length
    if original and original != shape.context_length:
        text += f", stretched from {original:,}"
    if memory.window:
        text += (
            f"; {memory.windowed_layers} of {memory.layers} layers see the last {memory.window:,}"
        )
    return text


def _heads(shape: Shape) -> str:
    if not shape.head_count:
        return ""
    text = _span(shape.head_count)
    if shape.head_count_kv and shape.head_count_kv != shape.head_count:
        text += f" query, {_span(shape.head_count_kv)} key/value"
    key, value = shape.key_length, shape.value_length
    wide = f"{key}" if key == value else f"{key}/{value}"
    return f"{text}, {wide} wide" if key else text


def _tokenizer_facts(facts: TokenizerFacts | None, dot: str) -> list[tuple[str, str | Text]]:
    if facts is None:
        return [("tokenizer", "none")]
    words = [f"{facts.kind} ({printable(facts.model)})"]
    if facts.pre:
        words.append(f"pre-tokenizer {printable(facts.pre)}")
    if facts.adds:
        words.append(f"adds {' and '.join(facts.adds)}")
    rows: list[tuple[str, str | Text]] = [
        ("vocabulary", f"{facts.size:,} tokens"),
        ("tokenizer", ", ".join(words)),
    ]
    if facts.special:
        rows.append(("special tokens", _special(facts.special, dot)))
    return rows


def _special(tokens: tuple[SpecialToken, ...], dot: str) -> Text:
    """`bos eos 2 </s> · pad 0 <pad>`: one entry for each id, in the order of the ids' names."""
    text = Text()
    order = {token.id: i for i, token in reversed(list(enumerate(tokens)))}
    for number, group in groupby(sorted(tokens, key=lambda t: order[t.id]), lambda t: t.id):
        same = list(group)
        if text:
            text.append(dot, "dim")
        text.append(" ".join(token.name for token in same), "dim")
        text.append(f" {number} ")
        found = same[0].text
        shown = "not in the vocabulary" if found is None else printable(found)
        text.append(shown, "red" if found is None else "cyan")
    return text


def _templates(summary: Summary) -> str:
    if not summary.chat_templates:
        return "none"
    return ", ".join(
        f"{printable(template.name) or 'yes'} ({template.length:,} characters)"
        for template in summary.chat_templates
    )


def _file_facts(summary: Summary) -> list[tuple[str, str]]:
    facts = []
    if summary.license:
        facts.append(("license", printable(summary.license)))
    unusual = [f"GGUF {summary.gguf_version}"] if summary.gguf_version != 3 else []
    if summary.byte_order == "big":
        unusual.append("big-endian")
    if summary.alignment != 32:
        unusual.append(f"alignment {summary.alignment}")
    tensors = f"{summary.tensors:,}" if summary.tensors else "none, only metadata"
    files = printable(summary.files[0])
    if len(summary.files) > 1:
        files += f" and {len(summary.files) - 1} more"
    facts.append(("tensors", tensors))
    facts.append(("file", ", ".join([files, *unusual])))
    return facts


def _mix(summary: Summary, console: Console) -> Table:
    is_wide, blocks = console.width >= NARROW, blocks_wanted(sys.stdout)
    table = _table("type", "tensors", "size", "bits/weight" if is_wide else "bits", "share")
    for share in summary.mix:
        drawn = Text(f"{share.fraction:4.0%}")
        if is_wide:
            drawn.append(f"  {bar(share.fraction, BAR, blocks=blocks)}", "blue")
        table.add_row(
            Text(share.type, "cyan"),
            f"{share.tensors:,}",
            human_bytes(share.bytes),
            f"{share.bits_per_weight:.2f}",
            drawn,
        )
    table.columns[-1].justify = "left"
    return table


def _memory(memory: Memory, is_wide: bool) -> list[Text | Table]:
    parts: list[Text | Table] = [_memory_headline(memory)]
    if memory.caches and memory.context is not None and memory.cache_kind != "recurrent":
        parts.append(_memory_table(memory, is_wide))
    if memory.ram_total:
        free = f", {human_bytes(memory.ram_available)} free" if memory.ram_available else ""
        parts.append(Text(f"this machine has {human_bytes(memory.ram_total)}{free}", "dim"))
    return parts


def _memory_headline(memory: Memory) -> Text:
    """What stands above the table of caches, or in its place."""
    weights = f"weights {human_bytes(memory.weights)}"
    if memory.cache_kind == "none":
        rest = f"{weights}, no cache: an encoder reads its text at once"
    elif memory.cache_kind == "recurrent" and memory.caches:
        state = human_bytes(memory.caches[0].bytes)
        rest = f"{weights}, state {state} per sequence of any length"
    elif memory.cache_kind == "unknown":
        rest = f"{weights}, cache unknown"
    elif memory.context is None:
        rest = f"{weights}, cache unknown without a context length (--ctx)"
    else:
        return Text.assemble((f"memory at {memory.context:,} tokens", "bold"), f"  {weights}")
    return Text.assemble(("memory", "bold"), f"  {rest}")


def _memory_table(memory: Memory, is_wide: bool) -> Table:
    has_window = any(cache.windowed_bytes is not None for cache in memory.caches)
    headers = ["cache", "size", "with weights"]
    if has_window:
        headers.append(f"windowed to {memory.window:,}" if memory.window else "windowed")
    table = _table(*headers, "" if is_wide else None)
    if is_wide:
        table.columns[-1].justify = "left"
    for cache in memory.caches:
        total = memory.weights + cache.bytes
        row: list[str | Text] = [
            Text(cache.type, "cyan"),
            human_bytes(cache.bytes),
            human_bytes(total),
        ]
        if cache.windowed_bytes is not None:
            row.append(human_bytes(cache.windowed_bytes))
        if is_wide:
            word = _verdict(total, memory)
            row.append(Text(word, VERDICTS.get(word, "")))
        table.add_row(*row)
    return table


def _verdict(total: int, memory: Memory) -> str:
    """How a need of `total` bytes compares to this machine."""
    if not memory.ram_total:
        return ""
    if total > memory.ram_total:
        return "too large"
    return "fits" if total <= (memory.ram_available or memory.ram_total) else "tight"


def _table(*headers: str | None) -> Table:
    """Columns without lines: the first to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, header in enumerate(headers):
        if header is not None:
            table.add_column(header, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _number(value: int | None) -> str:
    return f"{value:,}" if value else ""


def _span(values: tuple[int, int] | None) -> str:
    if values is None:
        return ""
    low, high = values
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
