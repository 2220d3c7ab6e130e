"""`zigllm train`: a small model from a text, as a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zigllm_cli.commands._engine import ThreadsOption
from zigllm_cli.commands._options import JsonOption, OutputOption
from zigllm_cli.errors import UsageError

MODEL, LEARNING, RUN = "Model", "Learning", "Run"


def _number(name: str, help: str, panel: str, kind: type = int) -> Any:
    return typer.Option(name, metavar="N" if kind is int else "X", help=help, rich_help_panel=panel)


def train(
    data: Annotated[
        Path | None, typer.Argument(metavar="[DATA]", help="The text to learn from; - for stdin.")
    ] = None,
    output: OutputOption = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", metavar="NAME", help="A name or a .toml; default: llama."),
    ] = None,
    list_recipes: Annotated[
        bool, typer.Option("--list", help="Show the recipes, or all settings of --recipe.")
    ] = False,
    validation_file: Annotated[
        Path | None,
        typer.Option("--validation", metavar="FILE", help="Held-out text; default: DATA's end."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="MODEL", help="Go on from a model: its sizes, its tokens."),
    ] = None,
    lora: Annotated[
        str | None,
        typer.Option(
            "--lora",
            metavar="r=R,alpha=A",
            help="Learn an adapter of --init's model instead.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="general.name of the file.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting of the recipe. Repeatable."),
    ] = None,
    vocab: Annotated[
        str | None,
        typer.Option(
            "--vocab", metavar="KIND", help="Vocabulary: characters or bpe.", rich_help_panel=MODEL
        ),
    ] = None,
    vocab_size: Annotated[
        int | None, _number("--vocab-size", "Tokens of a bpe vocabulary.", MODEL)
    ] = None,
    layers: Annotated[int | None, _number("--layers", "Blocks.", MODEL)] = None,
    width: Annotated[int | None, _number("--width", "Of the residual stream.", MODEL)] = None,
    heads: Annotated[int | None, _number("--heads", "Of queries.", MODEL)] = None,
    kv_heads: Annotated[int | None, _number("--kv-heads", "Of keys and values.", MODEL)] = None,
    ff: Annotated[int | None, _number("--ff", "Width of the feed-forward layer.", MODEL)] = None,
    ctx: Annotated[int | None, _number("--ctx", "Tokens of a sequence.", MODEL)] = None,
    batch: Annotated[int | None, _number("--batch", "Sequences of a batch.", LEARNING)] = None,
    steps: Annotated[int | None, _number("--steps", "Steps of AdamW.", LEARNING)] = None,
    accumulate: Annotated[
        int | None, _number("--accumulate", "Batches whose gradients make a step.", LEARNING)
    ] = None,
    lr: Annotated[float | None, _number("--lr", "Learning rate.", LEARNING, float)] = None,
    min_lr: Annotated[
        float | None, _number("--min-lr", "Learning rate at the end.", LEARNING, float)
    ] = None,
    warmup: Annotated[
        int | None, _number("--warmup", "Steps until the full rate.", LEARNING)
    ] = None,
    weight_decay: Annotated[
        float | None, _number("--weight-decay", "Of matrices.", LEARNING, float)
    ] = None,
    clip: Annotated[
        float | None, _number("--clip", "Longest gradient; 0 for any.", LEARNING, float)
    ] = None,
    dropout: Annotated[
        float | None, _number("--dropout", "Share of values dropped.", LEARNING, float)
    ] = None,
    seed: Annotated[int | None, _number("--seed", "Same seed, same bytes.", LEARNING)] = None,
    evaluate_every: Annotated[
        int | None, _number("--evaluate-every", "Steps between validations.", RUN)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint.", rich_help_panel=RUN)
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget the checkpoint.", rich_help_panel=RUN)
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Losses as PNG or SVG.", rich_help_panel=RUN),
    ] = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Train a small model on a text and write it as a GGUF file.

    A recipe is a list of hyper-parameters; options and --set change them.
    With --resume a run that was stopped goes on from its checkpoint, to the same bytes.

    [bold]Examples[/bold]

      zigllm train stories.txt -o stories.gguf --recipe llama

      zigllm train input.txt -o shakespeare.gguf --recipe nanogpt-shakespeare-cpu --plot loss.png

      zigllm train letters.txt -o mine.gguf --init stories.gguf --steps 500 --lr 3e-4

      zigllm train letters.txt -o letters.lora.gguf --init stories.gguf --lora r=8,alpha=16

      zigllm train --list
    """
    from zigllm_cli.commands._train_recipes import show_recipes
    from zigllm_cli.commands._train_run import Request, run

    options = {
        **{"vocabulary": vocab, "vocabulary_size": vocab_size, "layers": layers, "width": width},
        **{"heads": heads, "kv_heads": kv_heads, "ff": ff, "context": ctx, "batch": batch},
        **{"steps": steps, "accumulate": accumulate, "learning_rate": lr, "warmup": warmup},
        **{"min_learning_rate": min_lr, "weight_decay": weight_decay, "clip": clip},
        **{"dropout": dropout, "seed": seed, "evaluate_every": evaluate_every},
    }
    chosen: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if lora is not None:
        from zigllm_cli.train.lora import parse_lora

        if init is None:
            raise UsageError("--lora learns an adapter of a model: name it with --init")
        chosen |= parse_lora(lora)
    for pair in set_ or ():
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE")
        chosen[key.strip()] = value.strip()
    if list_recipes:
        show_recipes(recipe, chosen, json=json)
        return
    if output is None:
        raise UsageError("name the model to write: -o FILE.gguf")
    run(
        Request(
            data=data,
            output=output,
            recipe=recipe or "llama",
            changes=chosen,
            validation=validation_file,
            name=name,
            init=init,
            resume=resume,
            restart=restart,
            plot=plot,
            threads=threads,
            json=json,
        )
    )
