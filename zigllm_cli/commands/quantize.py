"""`zigllm quantize`: a model file in another type, or what it would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zigllm_cli.commands._engine import ThreadsOption
from zigllm_cli.commands._options import JsonOption, ModelArgument
from zigllm_cli.errors import InputError, UsageError

if TYPE_CHECKING:
    from zigllm_cli.quantization.decisions import Wishes
    from zigllm_cli.quantization.importance import Importance

CHOICE = "Which tensor gets which type"
IMPORTANCE = "Importance of columns"
BUDGET = "A size instead of a type"
SHOW = "What to show"


def quantize(
    model: ModelArgument = None,
    output: Annotated[
        str | None,
        typer.Argument(
            metavar="[OUT]", help="The new file; default: MODEL-TYPE.gguf beside the model."
        ),
    ] = None,
    type_name: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="Q4_K_M, Q8_0, ...: --list-types.")
    ] = None,
    imatrix: Annotated[
        Path | None,
        typer.Option(
            "--imatrix",
            metavar="FILE",
            help="Importance matrix, as zigllm imatrix makes it.",
            rich_help_panel=IMPORTANCE,
        ),
    ] = None,
    include_weights: Annotated[
        list[str] | None,
        typer.Option(
            "--include-weights",
            metavar="TEXT",
            help="Use importance only for tensors with TEXT in their name. Repeatable.",
            rich_help_panel=IMPORTANCE,
        ),
    ] = None,
    exclude_weights: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude-weights",
            metavar="TEXT",
            help="Use no importance for tensors with TEXT in their name. Repeatable.",
            rich_help_panel=IMPORTANCE,
        ),
    ] = None,
    output_tensor_type: Annotated[
        str | None,
        typer.Option(
            "--output-tensor-type",
            metavar="TYPE",
            help="Type of output.weight.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    token_embedding_type: Annotated[
        str | None,
        typer.Option(
            "--token-embedding-type",
            metavar="TYPE",
            help="Type of the token embeddings.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    leave_output_tensor: Annotated[
        bool,
        typer.Option(
            "--leave-output-tensor",
            help="Leave output.weight as it is.",
            rich_help_panel=CHOICE,
        ),
    ] = False,
    tensor_type: Annotated[
        list[str] | None,
        typer.Option(
            "--tensor-type",
            metavar="REGEX=TYPE",
            help="Type of tensors whose name matches, the first that does. Repeatable.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    tensor_type_file: Annotated[
        Path | None,
        typer.Option(
            "--tensor-type-file",
            metavar="FILE",
            help="More of them, separated by spaces or lines.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    pure: Annotated[
        bool,
        typer.Option("--pure", help="One type for all matrices.", rich_help_panel=CHOICE),
    ] = False,
    allow_requantize: Annotated[
        bool,
        typer.Option(
            "--allow-requantize",
            help="Also tensors that are quantized already, and lose twice.",
            rich_help_panel=CHOICE,
        ),
    ] = False,
    prune_layers: Annotated[
        str | None,
        typer.Option(
            "--prune-layers",
            metavar="N,N,...",
            help="Leave these layers out.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    target_size: Annotated[
        str | None,
        typer.Option(
            "--target-size",
            metavar="SIZE",
            help="The mix of least error in a file of at most SIZE: 600M, 4.5G.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    target_bpw: Annotated[
        float | None,
        typer.Option(
            "--target-bpw",
            metavar="BITS",
            help="The same for a number of bits per weight.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    advise: Annotated[
        bool,
        typer.Option(
            "--advise",
            help="Which types fit this machine, at what size and error; writes nothing.",
            rich_help_panel=BUDGET,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="The type and size of every tensor, from the header alone; writes nothing.",
            rich_help_panel=SHOW,
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="What every tensor has lost, and where.", rich_help_panel=SHOW
        ),
    ] = False,
    list_types: Annotated[
        bool, typer.Option("--list-types", help="All types.", rich_help_panel=SHOW)
    ] = False,
    keep_split: Annotated[
        bool, typer.Option("--keep-split", help="As many files as the model has.")
    ] = False,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Write a model in a smaller type: the bytes of llama.cpp's quantizer, in less time.

    The new file appears when it is complete; until then an old one of its name stays.

    [bold]Examples[/bold]

      zigllm quantize model-F16.gguf model-Q4_K_M.gguf Q4_K_M

      zigllm quantize model-F16.gguf out.gguf IQ2_XS --imatrix model.imatrix.gguf --report

      zigllm quantize model-F16.gguf Q5_K_M --dry-run

      zigllm quantize model-F16.gguf out.gguf --target-size 600M
    """
    from zigllm_cli.commands import _quantize_output as out
    from zigllm_cli.commands._quantize_run import Request, advise_types, plan, run
    from zigllm_cli.quantization.file_types import file_types

    if list_types:
        out.show_types(file_types(), json=json)
        return
    if model is None:
        raise UsageError("name the model to quantize: zigllm quantize MODEL OUT TYPE")
    if type_name is None and output is not None and _is_type(output):
        output, type_name = None, output
    request = Request(
        model=model,
        output=output,
        type_name=type_name,
        wishes=_wishes(
            output_tensor_type,
            token_embedding_type,
            leave_output_tensor,
            pure,
            allow_requantize,
            keep_split,
            [*(tensor_type or ()), *_words(tensor_type_file)],
            prune_layers,
        ),
        imatrix=imatrix,
        importance=_importance(imatrix, include_weights or [], exclude_weights or []),
        target_size=target_size,
        target_bpw=target_bpw,
        threads=threads,
        report=report,
    )
    if advise:
        out.show_advice(advise_types(request), json=json)
    elif dry_run:
        out.show_decisions(plan(request), json=json)
    else:
        out.show_result(run(request), json=json)


def _is_type(name: str) -> bool:
    from zigllm_cli.quantization.file_types import file_type

    try:
        file_type(name)
    except UsageError:
        return False
    return not Path(name).exists()


def _wishes(
    output_tensor_type: str | None,
    token_embedding_type: str | None,
    leave_output_tensor: bool,
    pure: bool,
    allow_requantize: bool,
    keep_split: bool,
    tensor_types: list[str],
    prune_layers: str | None,
) -> Wishes:
    from zigllm_cli.quantization.decisions import Wishes, encodable, parse_tensor_type

    return Wishes(
        output_tensor_type=encodable(output_tensor_type) if output_tensor_type else None,
        token_embedding_type=encodable(token_embedding_type) if token_embedding_type else None,
        leave_output_tensor=leave_output_tensor,
        pure=pure,
        allow_requantize=allow_requantize,
        keep_split=keep_split,
        tensor_types=tuple(parse_tensor_type(setting) for setting in tensor_types),
        prune_layers=_layers(prune_layers),
    )


def _words(path: Path | None) -> list[str]:
    """The settings of a `--tensor-type-file`."""
    if path is None:
        return []
    try:
        return path.read_text("utf-8").split()
    except UnicodeDecodeError:
        raise InputError(f"{path} is no UTF-8 text; --tensor-type-file takes REGEX=TYPE") from None


def _layers(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset()
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--prune-layers {text!r} is not a list of layers such as 20,21,22")
    return frozenset(map(int, parts))


def _importance(path: Path | None, include: list[str], exclude: list[str]) -> Importance | None:
    if include and exclude:
        raise UsageError("--include-weights and --exclude-weights exclude each other")
    if path is None:
        if include or exclude:
            raise UsageError("--include-weights and --exclude-weights need --imatrix")
        return None
    from zigllm_cli.quantization.importance import read_importance

    return read_importance(path).filtered(include, exclude)
