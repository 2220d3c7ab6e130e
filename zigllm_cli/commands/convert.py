"""`zigllm convert`: a model of another program as a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zigllm_cli.commands._engine import ThreadsOption
from zigllm_cli.commands._options import JsonOption

TOKENIZER = "Names and tokenizer"
ADAPTERS = "Adapters (LoRA)"
SHOW = "What to show"


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The folder or file to convert.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The new file; default: SOURCE-TYPE.gguf beside the source.",
        ),
    ] = None,
    type_name: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="f32, f16, bf16, q8_0, auto (f16 or bf16, as the source is), or any type of "
            "'zigllm quantize --list-types'.",
        ),
    ] = "auto",
    imatrix: Annotated[
        Path | None,
        typer.Option("--imatrix", metavar="FILE", help="Importance matrix, for types of few bits."),
    ] = None,
    split_max_size: Annotated[
        str | None,
        typer.Option(
            "--split-max-size", metavar="SIZE", help="Several files of at most SIZE: 600M, 4.5G."
        ),
    ] = None,
    to_folder: Annotated[
        bool,
        typer.Option(
            "--to-folder", help="The other way: a GGUF file to a Hugging Face folder, -o DIR."
        ),
    ] = False,
    byte_order: Annotated[
        str,
        typer.Option("--byte-order", metavar="little|big", help="Byte order of the new file."),
    ] = "little",
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="TEXT", help="What the model is called.", rich_help_panel=TOKENIZER
        ),
    ] = None,
    pre: Annotated[
        str | None,
        typer.Option(
            "--pre",
            metavar="NAME",
            help="The pre-tokenizer, where it is not known from the tokenizer's definition.",
            rich_help_panel=TOKENIZER,
        ),
    ] = None,
    vocab_from: Annotated[
        Path | None,
        typer.Option(
            "--vocab-from",
            metavar="PATH",
            help="Where the vocabulary is, if the checkpoint has none: a GGUF file, a tokenizer's "
            "folder, nanoGPT's meta.pkl, or the text whose characters are the tokens.",
            rich_help_panel=TOKENIZER,
        ),
    ] = None,
    heads: Annotated[
        int | None,
        typer.Option(
            "--heads",
            metavar="N",
            min=1,
            help="Attention heads, of a checkpoint that does not say.",
            rich_help_panel=TOKENIZER,
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--base",
            metavar="PATH",
            help="The model that an adapter changes: its folder or GGUF file.",
            rich_help_panel=ADAPTERS,
        ),
    ] = None,
    merge_lora: Annotated[
        list[str] | None,
        typer.Option(
            "--merge-lora",
            metavar="PATH[=SCALE]",
            help="Add an adapter to the weights, a GGUF file or a PEFT folder. Repeatable.",
            rich_help_panel=ADAPTERS,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what would be written, without reading weights.",
            rich_help_panel=SHOW,
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Read the new file back and compare it with the source.",
            rich_help_panel=SHOW,
        ),
    ] = False,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Turn a model of another program into a GGUF file.

    What the source is, is found by looking into it. Nothing in it is run.
    The new file appears when it is complete.

    [bold]Sources[/bold]

      Hugging Face folders: config.json with safetensors and a tokenizer

      litgpt's folders: lit_model.pth, or LoRA with its base

      nanoGPT's ckpt.pt, minGPT's state dicts, llama2.c's model.bin

      PEFT's LoRA folders, which become adapters for --lora

      GGUF files: to another type or byte order, split or whole, or --to-folder

    [bold]Examples[/bold]

      zigllm convert TinyLlama-1.1B -o tinyllama.gguf

      zigllm convert TinyLlama-1.1B --type q4_k_m --verify

      zigllm convert TinyLlama-1.1B --dry-run

      zigllm convert tinyllama.gguf --to-folder -o TinyLlama-1.1B
    """
    from zigllm_cli.commands import _convert_output as out
    from zigllm_cli.commands._convert_run import Request, plan, run
    from zigllm_cli.commands._convert_run import to_folder as convert_to_folder
    from zigllm_cli.convert.conversion import Options

    request = Request(
        source=source,
        output=output,
        type_name=type_name,
        options=Options(name=name, pre=pre, vocab_from=vocab_from, heads=heads, base=base),
        merge_lora=merge_lora or (),
        imatrix=imatrix,
        split_max_size=split_max_size,
        byte_order=byte_order,
        dry_run=dry_run,
        verify=verify,
        threads=threads,
    )
    if to_folder:
        out.show_folder(convert_to_folder(request), json=json)
    elif request.dry_run:
        out.show_plan(plan(request), json=json)
    else:
        out.show_result(run(request), json=json)
