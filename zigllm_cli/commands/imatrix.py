"""`zigllm imatrix`: which columns of a model's matrices matter, from a text that it reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zigllm_cli.atomic import check_output
from zigllm_cli.catalog import resolve
from zigllm_cli.commands._engine import (
    EngineRequest,
    KvTypeOption,
    ThreadsOption,
    open_model,
)
from zigllm_cli.commands._options import JsonOption, ModelOption
from zigllm_cli.errors import InputError, UsageError, unreadable

if TYPE_CHECKING:
    from zigllm_cli.quantization.importance import Importance

SAVED_EVERY = 10
"""Chunks after which the file is written anew, if --save-every says nothing else."""


def imatrix(
    model: ModelOption = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="The text; - for standard input."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The matrix: OUT.gguf or OUT.dat."),
    ] = None,
    in_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--in-file",
            metavar="FILE",
            help="Add to this matrix, of either format; in .dat a call is --ctx tokens. "
            "Repeatable.",
        ),
    ] = None,
    ctx: Annotated[
        int, typer.Option("--ctx", "-c", metavar="N", min=16, help="Tokens of a chunk.")
    ] = 512,
    chunks: Annotated[
        int | None,
        typer.Option("--chunks", metavar="N", min=1, help="At most so many chunks."),
    ] = None,
    from_chunk: Annotated[
        int, typer.Option("--from-chunk", metavar="N", min=0, help="Begin with this chunk.")
    ] = 0,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on where the output file was left: its chunks are not run again."
        ),
    ] = False,
    process_output: Annotated[
        bool, typer.Option("--process-output", help="Also what goes into output.weight.")
    ] = False,
    parse_special: Annotated[
        bool, typer.Option("--parse-special", help="Recognise control tokens in the text.")
    ] = False,
    save_every: Annotated[
        int,
        typer.Option("--save-every", metavar="N", min=1, help="Write the file every N chunks."),
    ] = SAVED_EVERY,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--output-format", metavar="gguf|dat", help="Default: dat for FILE.dat, else gguf."
        ),
    ] = None,
    threads: ThreadsOption = None,
    kv_type: KvTypeOption = "f16",
    json: JsonOption = False,
) -> None:
    """Compute an importance matrix, which lets zigllm quantize put errors where they matter least.

    For every matrix the squares of its inputs are summed up, column by column, while the model
    reads a text. The file is llama.cpp's, in both directions. Without a text, files of --in-file
    are put together or converted.

    [bold]Examples[/bold]

      zigllm imatrix -m model-F16.gguf -f calibration.txt -o model.imatrix.gguf

      zigllm imatrix -m model-F16.gguf -f more.txt -o model.imatrix.gguf --resume

      zigllm imatrix --in-file a.gguf --in-file b.dat -o both.gguf
    """
    from zigllm_cli.quantization.importance import Importance, read_importance, write_importance

    if output is None:
        raise UsageError("name the matrix to write: -o FILE")
    form = _form(output, output_format)
    check_output(output, [file, *(in_file or ()), model and resolve(model)])
    found = Importance(chunk_size=ctx)
    earlier = list(in_file or ())
    if resume and output.exists():
        earlier.append(output)
    for path in earlier:
        found = merged(found, read_importance(path, chunk_size=ctx))
    done = found.chunks if resume else 0
    if file is not None:
        text = sys.stdin.buffer.read() if str(file) == "-" else _read(file)
        name = "stdin" if str(file) == "-" else file.name
        request = EngineRequest(model, threads=threads, ctx=ctx, kv_type=kv_type)
        run = _Run(request, found, output, form, ctx, save_every, process_output)
        run.read(text, name, parse_special, from_chunk or done, chunks)
    elif not earlier:
        raise UsageError("give a text to read (-f FILE) or matrices to put together (--in-file)")
    write_importance(found, output, form)
    _show(found, output, json=json)


def _form(output: Path, chosen: str | None) -> str:
    form = chosen or ("dat" if output.suffix == ".dat" else "gguf")
    if form not in ("gguf", "dat"):
        raise UsageError(f"--output-format {form!r} is unknown; use gguf or dat")
    return form


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def merged(a: Importance, b: Importance) -> Importance:
    """The sums of both."""
    from zigllm_cli.quantization.importance import Importance, as_sums

    result = Importance(
        dict(a.entries),
        [*a.datasets, *(text for text in b.datasets if text not in a.datasets)],
        a.chunks + b.chunks,
        b.chunk_size if not a.entries else a.chunk_size,
    )
    for name, entry in b.entries.items():
        new = as_sums(entry, b.chunk_size)
        old = result.entries.get(name)
        if old is not None and (old.sums.shape, old.counts.shape) != (
            new.sums.shape,
            new.counts.shape,
        ):
            raise InputError(f"the matrices differ in the size of {name}: they are of two models")
        if old is not None:
            new.add(old)
        result.entries[name] = new
    return result


class _Run:
    """One reading of a text."""

    def __init__(
        self,
        request: EngineRequest,
        found: Importance,
        output: Path,
        form: str,
        ctx: int,
        save_every: int,
        process_output: bool,
    ) -> None:
        self.request, self.found, self.output, self.form = request, found, output, form
        self.ctx, self.save_every, self.process_output = ctx, save_every, process_output

    def read(
        self, text: bytes, name: str, parse_special: bool, skip: int, limit: int | None
    ) -> None:
        """Run the chunks of a text, but for the first `skip` and those beyond `limit`."""
        from itertools import islice

        from zigllm_cli.commands._engine import CompileNotice
        from zigllm_cli.quantization.collect import ObservingRunner, chunks_of, collect

        model = open_model(self.request)
        tokens = model.tokenizer.encode(
            text.decode("utf-8", "replace"), parse_special=parse_special
        )
        prefix = model.tokenizer.prefix
        pieces = list(chunks_of(tokens, self.ctx, prefix[0] if prefix else None))
        pieces = list(islice(pieces, skip, None if limit is None else skip + limit))
        if not pieces:
            raise InputError(
                f"{name} has {len(tokens)} tokens, not enough for chunk {skip + 1} of {self.ctx}; "
                "give a longer text or a smaller --ctx"
            )
        if name not in self.found.datasets:
            self.found.datasets.append(name)
        self.found.chunk_size = self.ctx
        runner = ObservingRunner(
            model.file,
            process_output=self.process_output,
            threads=self.request.threads,
            context=self.ctx,
            kv_type=self.request.kv_type,
            progress=CompileNotice(),
        )
        try:
            with self._bar(len(pieces)) as advance:
                collect(runner, iter(pieces), self.found, lambda found: self._done(found, advance))
        except KeyboardInterrupt:
            if self.found.entries:
                self._save(self.found)
            raise
        finally:
            runner.close()

    def _done(self, found: Importance, advance: Any) -> None:
        if advance:
            advance(1)
        if found.chunks % self.save_every == 0:
            self._save(found)

    def _save(self, found: Importance) -> None:
        from zigllm_cli.quantization.importance import write_importance

        write_importance(found, self.output, self.form)

    def _bar(self, count: int) -> Any:
        from zigllm_cli.commands._output import count_bar

        return count_bar("reading", count, "chunks")


def _show(found: Importance, output: Path, *, json: bool) -> None:
    from zigllm_cli.commands._output import print_json, write

    idle = sorted(name for name, entry in found.entries.items() if not entry.counts.all())
    if json:
        print_json(
            {
                "file": str(output),
                "entries": len(found.entries),
                "chunks": found.chunks,
                "chunk_size": found.chunk_size,
                "datasets": found.datasets,
                "partial": idle,
            }
        )
        return
    write(f"{output}: {len(found.entries)} matrices, {found.chunks} chunks of {found.chunk_size}\n")
    if idle:
        write(f"{len(idle)} of them have experts that no token went to, such as {idle[0]}\n")
