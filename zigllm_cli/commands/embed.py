"""`zigllm embed`: texts to vectors, similarities, and scores of a reranker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zigllm_cli.atomic import atomic_file, check_output
from zigllm_cli.catalog import resolve
from zigllm_cli.commands._engine import (
    CtxOption,
    EngineRequest,
    LoraOption,
    OverrideOption,
    ThreadsOption,
    open_model,
)
from zigllm_cli.commands._options import JsonOption, ModelOption
from zigllm_cli.commands._output import (
    print_json,
    printable,
    show,
    stderr_console,
    stdout_console,
    talk,
    write,
)
from zigllm_cli.errors import UsageError, unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MANY = 100
"""From this many texts on a terminal gets a progress bar."""

PREVIEW = 8
"""Numbers of a vector that a terminal shows."""


def embed(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Texts; default: lines of standard input."),
    ] = None,
    model: ModelOption = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="Read texts from FILE, one a line."),
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            "--pooling",
            metavar="KIND",
            help="mean, cls, last, none (a vector per token) or rank (a reranker's scores); "
            "default: what the file says, or mean.",
        ),
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Make each vector as long as 1.")
    ] = False,
    similarity: Annotated[
        bool, typer.Option("--similarity", help="Print a table of cosines between the texts.")
    ] = False,
    rank: Annotated[
        str | None,
        typer.Option(
            "--rank",
            metavar="QUERY",
            help="Print how well each text answers QUERY, best first (for rerankers).",
        ),
    ] = None,
    npy: Annotated[
        Path | None,
        typer.Option("--npy", metavar="FILE", help="Write the vectors to FILE for NumPy."),
    ] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut texts that are longer than the model reads.")
    ] = False,
    json: JsonOption = False,
    threads: ThreadsOption = None,
    ctx: CtxOption = None,
    override_kv: OverrideOption = None,
    lora: LoraOption = None,
) -> None:
    """Turn texts into vectors that are near each other where the texts mean the same.

    In a pipe each vector is one line of numbers; a terminal shows the first of them.

    [bold]Examples[/bold]

      zigllm embed -m minilm.gguf "a cat" "a kitten" "tax law" --similarity

      zigllm embed -m minilm.gguf -f sentences.txt --normalize --npy vectors.npy

      zigllm embed -m reranker.gguf --rank "what do pandas eat?" -f passages.txt
    """
    if similarity + (rank is not None) + (npy is not None) > 1:
        raise UsageError("--similarity, --rank and --npy exclude each other; give one of them")
    if rank is not None and pooling not in (None, "rank"):
        raise UsageError(f"--rank is the pooling 'rank'; leave out --pooling {pooling}")
    if similarity and pooling in ("none", "rank"):
        raise UsageError(f"--similarity compares one vector per text, not --pooling {pooling}")
    if npy is not None:
        check_output(npy, [file, model and resolve(model)])
    lines = read_texts(texts or [], file)
    request = EngineRequest(
        model, threads=threads, ctx=ctx, override_kv=override_kv or (), lora=lora or ()
    )
    embeddings = open_model(request).embeddings
    if pooling is None and rank is None and embeddings.pooling == "none":
        pooling = "mean" if similarity else "none"
    if rank is None:
        ids = [embeddings.text_ids(line) for line in lines]
    else:
        ids = [embeddings.pair_ids(rank, line) for line in lines]
    ids = fitted(ids, embeddings.longest, truncate=truncate)
    chosen = "rank" if rank is not None else pooling
    with progress(len(lines)) as done:
        vectors = embeddings.vectors(ids, chosen, done)
    if rank is not None:
        show_ranking(rank, lines, [float(scores[0]) for scores in vectors], as_json=json)
    elif similarity:
        show_similarity(lines, vectors, as_json=json)
    else:
        show_vectors(lines, ids, vectors, normalize=normalize, npy=npy, as_json=json)


def read_texts(texts: Sequence[str], file: Path | None) -> list[str]:
    """The arguments, or the lines of a file or of standard input that are not empty."""
    if texts and file is not None:
        raise UsageError(f"give texts as arguments or with -f {file}, not both")
    if texts:
        return list(texts)
    if file is not None and str(file) != "-":
        try:
            source = file.read_bytes()
        except OSError as error:
            raise unreadable(file, error) from None
    elif file is None and sys.stdin.isatty():
        raise UsageError("no text: give some as arguments, with -f FILE or through a pipe")
    else:
        source = sys.stdin.buffer.read()
    lines = source.decode("utf-8", "surrogateescape").splitlines()
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise UsageError("there is no text to embed: every line is empty")
    return lines


def fitted(ids: list[list[int]], longest: int, *, truncate: bool) -> list[list[int]]:
    """Texts cut to what the model reads, their last token kept (it ends the text)."""
    long = [number for number, text in enumerate(ids, 1) if len(text) > longest]
    if not long:
        return ids
    if not truncate:
        raise UsageError(
            f"text {long[0]} has {len(ids[long[0] - 1])} tokens, but the model reads {longest}:"
            " shorten it, or cut all such texts with --truncate"
        )
    talk(f"{len(long)} of {len(ids)} texts are cut to {longest} tokens")
    return [text if len(text) <= longest else [*text[: longest - 1], text[-1]] for text in ids]


@contextmanager
def progress(count: int) -> Iterator[Callable[[int], None] | None]:
    """A bar on stderr over many texts, in a terminal."""
    if count < MANY or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("embedding", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task("embedding", total=count)
        yield lambda more: bar.advance(task, more)


def show_vectors(
    lines: list[str],
    ids: list[list[int]],
    vectors: list[Floats],
    *,
    normalize: bool,
    npy: Path | None,
    as_json: bool,
) -> None:
    """All numbers for programs, the first few for people."""
    import numpy as np

    from zigllm_cli.engine.pooling import normalized

    if normalize:
        vectors = [normalized(vector) for vector in vectors]
    if npy is not None:
        with atomic_file(npy) as out:
            np.save(out, np.concatenate([v.reshape(-1, v.shape[-1]) for v in vectors]))
        talk(f"wrote {sum(v.size // v.shape[-1] for v in vectors)} vectors to {npy}")
    elif as_json:
        entries = [
            {"index": i, "text": printable(line), "tokens": len(text), "embedding": v.tolist()}
            for i, (line, text, v) in enumerate(zip(lines, ids, vectors, strict=True))
        ]
        document: dict[str, Any] = {"schema": "zigllm.embed/1", "width": vectors[0].shape[-1]}
        print_json({**document, "data": entries})
    else:
        for vector in vectors:
            for row in vector.reshape(-1, vector.shape[-1]):
                write(row_text(row, whole=not sys.stdout.isatty()) + "\n")


def row_text(row: Floats, *, whole: bool) -> str:
    """A vector's numbers, with as many digits as they have; for people only the first ones."""
    if whole:
        return " ".join(f"{float(value):.9g}" for value in row)
    shown = "  ".join(f"{float(value):8.4f}" for value in row[:PREVIEW])
    return f"{shown}  ... ({len(row)})" if len(row) > PREVIEW else shown


def show_similarity(lines: list[str], vectors: list[Floats], *, as_json: bool) -> None:
    """Cosines of all pairs."""
    import numpy as np

    from zigllm_cli.engine.pooling import normalized

    unit = normalized(np.stack(vectors))
    cosines = (unit @ unit.T).clip(-1, 1)
    if as_json:
        texts = [printable(line) for line in lines]
        print_json({"schema": "zigllm.similarity/1", "texts": texts, "cosines": cosines.tolist()})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for number in range(1, len(lines) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    table.add_column("text", overflow="ellipsis", no_wrap=True)
    for number, (line, row) in enumerate(zip(lines, cosines, strict=True), 1):
        table.add_row(str(number), *(f"{value:.3f}" for value in row), printable(line))
    show(stdout_console(), table)


def show_ranking(query: str, lines: list[str], scores: list[float], *, as_json: bool) -> None:
    """Texts with their scores, the best first."""
    order = sorted(range(len(lines)), key=lambda i: -scores[i])
    if as_json:
        entries = [{"index": i, "score": scores[i], "text": printable(lines[i])} for i in order]
        print_json({"schema": "zigllm.rank/1", "query": printable(query), "results": entries})
        return
    for i in order:
        write(f"{scores[i]:.4f}\t{printable(lines[i])}\n")
