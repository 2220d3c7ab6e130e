"""A run of `zigllm train`: data in, checkpoints on the way, the file at the end."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zigllm_cli.commands._output import human_bytes, human_count, print_json, talk, write
from zigllm_cli.commands._train_view import view_for
from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.train.settings import Recipe, Settings, read_recipe, recipe_names

PUZZLES = ("sort", "adder")


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        changes: settings that differ from the recipe's.
    """

    data: Path | None
    output: Path
    recipe: str
    changes: dict[str, Any]
    validation: Path | None = None
    name: str | None = None
    resume: bool = False
    restart: bool = False
    plot: Path | None = None
    threads: int | None = None
    json: bool = False


def checkpoint_of(output: Path) -> Path:
    """Where a run keeps its state until it is done."""
    return output.with_name(f"{output.name}.checkpoint")


def run(request: Request) -> None:
    """Train, and write the model."""
    from zigllm_cli.engine.threads import default_threads
    from zigllm_cli.train.export import write_model
    from zigllm_cli.train.trainer import Trainer

    if request.plot is not None:
        from zigllm_cli.commands._train_plot import check_form

        check_form(request.plot)  # and says now if matplotlib is missing
    recipe = read_recipe(request.recipe)
    settings = recipe.settings.changed(**request.changes)
    _writable(request.output)
    checkpoint = checkpoint_of(request.output)
    if checkpoint.exists() and not (request.resume or request.restart):
        raise UsageError(
            f"{checkpoint} holds a run that is not finished: --resume goes on with it, --restart"
            " begins anew"
        )
    task = _task(request, settings)
    settings = settings.changed(context=task.context)
    shape = settings.shape(task.vocabulary.size)
    network = _network(task, settings, shape, request.threads or default_threads())
    trainer = Trainer(settings, task, network, checkpoint)
    size = human_count(network.flat.size)
    talk(f"{recipe.name}: {shape.architecture} of {size} parameters, {shape.vocabulary} tokens")
    if request.resume and checkpoint.exists():
        talk(f"going on behind step {trainer.resume()}")
    try:
        with view_for(settings, trainer.history, json=request.json) as view:
            trainer.run(view.step)
    except KeyboardInterrupt:
        trainer.save()
        talk(f"stopped behind step {trainer.history.steps}; --resume goes on")
        raise
    finally:
        network.close()
    arrays = network.parameters.views(network.flat)
    general = {"name": request.name or request.output.stem, "file_type": 0}
    write_model(request.output, shape, arrays, task.vocabulary.entries(), general)
    checkpoint.unlink(missing_ok=True)
    view.finish(trainer, request.output, _samples(task, network, settings))
    if request.plot is not None:
        from zigllm_cli.commands._train_plot import write_plot

        write_plot(trainer.history, request.plot, title=request.output.stem)
    if not request.json:
        talk(f"{request.output}: {human_bytes(request.output.stat().st_size)}")


def _network(task: Any, settings: Settings, shape: Any, threads: int) -> Any:
    from zigllm_cli.train.microgpt import MicroNetwork
    from zigllm_cli.train.network import Network

    if settings.task == "names":
        return MicroNetwork.drawn(shape, task.random)
    return Network.fresh(shape, settings.seed, threads, settings.precision)


def _task(request: Request, settings: Settings) -> Any:
    from zigllm_cli.train.tasks.names import Names
    from zigllm_cli.train.tasks.puzzles import Adder, Sort
    from zigllm_cli.train.tasks.text import Text

    if settings.task in PUZZLES:
        if request.data is not None:
            raise UsageError(f"{settings.task} makes its own data; leave {request.data} away")
        kind: Any = Sort if settings.task == "sort" else Adder
        return kind(settings)
    if request.data is None:
        raise UsageError("name the text to learn from, or - for standard input")
    if settings.task == "names":
        return Names(settings, _read(request.data))
    held = None if request.validation is None else _read(request.validation)
    return Text(settings, _read(request.data), held)


def _samples(task: Any, network: Any, settings: Settings) -> list[str]:
    from zigllm_cli.train.microgpt import sample

    if settings.task != "names":
        return []
    end = task.vocabulary.end
    ids = (sample(network, task.random, end, settings.temperature) for _ in range(settings.samples))
    return [task.vocabulary.decode(each) for each in ids]


def _read(path: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from None


def _writable(output: Path) -> None:
    """Refuse now what could not be written at the end."""
    if output.is_dir():
        raise InputError(f"cannot write {output}: it is a directory; name a file in it")
    if not output.absolute().parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {output.absolute().parent}")


def show_recipes(name: str | None, changes: dict[str, Any], *, json: bool) -> None:
    """All recipes with a sentence each, or the settings of one."""
    if name is None:
        recipes = [read_recipe(each) for each in recipe_names()]
        if json:
            print_json({each.name: {"about": each.about} for each in recipes})
            return
        wide = max(len(each.name) for each in recipes)
        write("".join(f"{each.name:<{wide}}  {each.about}\n" for each in recipes))
        return
    recipe: Recipe = read_recipe(name)
    values = asdict(recipe.settings.changed(**changes))
    if json:
        print_json(values)
        return
    write("".join(f"{key} = {_toml(value)}\n" for key, value in values.items()))


def _toml(value: Any) -> str:
    from json import dumps

    return dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
