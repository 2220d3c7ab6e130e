"""A run of `zigllm train`: data in, checkpoints on the way, the file at the end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from zigllm_cli.atomic import check_output
from zigllm_cli.catalog import resolve
from zigllm_cli.commands._output import human_bytes, human_count, talk
from zigllm_cli.commands._train_view import view_for
from zigllm_cli.errors import InputError, MemoryLimitError, UsageError, unreadable
from zigllm_cli.train.settings import Settings, read_recipe

if TYPE_CHECKING:
    from zigllm_cli.train.initial import Initial
    from zigllm_cli.train.network import Network
    from zigllm_cli.train.shape import Shape
    from zigllm_cli.train.trainer import Trainer

PUZZLES = ("sort", "adder")

SIZES = (
    *("architecture", "layers", "width", "heads", "kv_heads", "ff", "bias", "tied", "rope_base"),
    *("epsilon", "vocabulary", "vocabulary_size", "special", "init_std"),
)
"""Settings that a model to go on from has decided already."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        changes: settings that differ from the recipe's.
        init: a model to go on from.
    """

    data: Path | None
    output: Path
    recipe: str
    changes: dict[str, Any]
    validation: Path | None = None
    name: str | None = None
    init: str | None = None
    resume: bool = False
    restart: bool = False
    plot: Path | None = None
    threads: int | None = None
    json: bool = False


def run(request: Request) -> None:
    """Train, and write the model."""
    _check(request)
    _Run(request).go()


class _Run:
    """What one run is made of, in the order in which it is needed."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.recipe = read_recipe(request.recipe)
        self.settings = self.recipe.settings.changed(**request.changes)
        if self.initial is not None:
            self.settings = _as_in_file(self.settings, self.initial.shape)
        self.task = self._task()
        self.settings = self.settings.changed(context=self.task.context)
        self.network = self._network()

    @cached_property
    def initial(self) -> Initial | None:
        """The model to go on from."""
        from zigllm_cli.train.initial import read_initial

        if self.request.init is None:
            return None
        given = [name for name in SIZES if name in self.request.changes]
        if given:
            raise UsageError(f"{given[0]} is that of {self.request.init}; it cannot be changed")
        found = read_initial(resolve(self.request.init))
        wanted = self.settings.context
        if "context" in self.request.changes and wanted > found.shape.context:
            raise UsageError(
                f"{self.request.init} knows {found.shape.context} positions; choose --ctx"
                f" {found.shape.context} or less, not {wanted}"
            )
        return found

    def _task(self) -> Any:
        from zigllm_cli.train.tasks.names import Names
        from zigllm_cli.train.tasks.puzzles import Adder, Sort
        from zigllm_cli.train.tasks.text import Text

        s, data, initial = self.settings, self.request.data, self.initial
        _check_options(s, self.request)
        if s.task in PUZZLES:
            if data is not None:
                raise UsageError(f"{s.task} makes its own data; leave {data} away")
            kind: Any = Sort if s.task == "sort" else Adder
            return _fitting(kind(s), initial)
        if data is None:
            raise UsageError("name the text to learn from, or - for standard input")
        if s.task == "names":
            return _fitting(Names(s, _read(data)), initial)
        held = None if self.request.validation is None else _read(self.request.validation)
        return Text(s, _read(data), held, initial.vocabulary if initial else None)

    def _network(self) -> Network:
        from zigllm_cli.engine.threads import default_threads
        from zigllm_cli.train.lora import LoraNetwork
        from zigllm_cli.train.microgpt import MicroNetwork
        from zigllm_cli.train.network import Network

        s, initial = self.settings, self.initial
        shape = initial.shape if initial else s.shape(self.task.vocabulary.size)
        _check_memory(shape, s)
        threads = self.request.threads or default_threads()
        if s.lora_rank:
            if initial is None:
                raise UsageError("lora_rank asks for an adapter of a model: name it with --init")
            return LoraNetwork(initial, s, threads)
        fused = s.architecture == "microgpt"
        kind = MicroNetwork if fused else Network
        if initial is not None:
            flat = initial.flat.astype(s.precision)
            return kind(shape, flat, parameters=initial.parameters, threads=threads)
        if fused:
            random = self.task.random if s.task == "names" else Random(s.seed)
            return MicroNetwork.drawn(shape, random, s.precision)
        return Network.fresh(shape, s.seed, threads, s.precision)

    def go(self) -> None:
        """All steps, and the file."""
        from zigllm_cli.train.kernels.compiled import is_compiled
        from zigllm_cli.train.trainer import Trainer

        request, network = self.request, self.network
        checkpoint = checkpoint_of(request.output)
        origin = self.initial.digest if self.initial else ""
        trainer = Trainer(self.settings, self.task, network, checkpoint, origin)
        shape, size = network.shape, human_count(network.flat.size)
        talk(
            f"{self.recipe.name}: {shape.architecture} of {size} parameters,"
            f" {shape.vocabulary} tokens"
        )
        if request.resume and checkpoint.exists():
            talk(f"going on behind step {trainer.resume()}")
        if not is_compiled():
            talk("compiling kernels for this CPU, once ...")
        try:
            with (
                stopped_between_steps(trainer),
                view_for(self.settings, trainer.history, json=request.json) as view,
            ):
                trainer.run(view.step)
        except KeyboardInterrupt:
            talk(f"stopped behind step {trainer.history.steps}; --resume goes on")
            raise
        finally:
            network.close()
        self._write()
        checkpoint.unlink(missing_ok=True)
        view.finish(trainer, request.output, self._samples())
        if request.plot is not None:
            from zigllm_cli.commands._train_plot import write_plot

            write_plot(trainer.history, request.plot, title=request.output.stem)
        talk(f"{request.output}: {human_bytes(request.output.stat().st_size)}")

    def _write(self) -> None:
        from zigllm_cli.train.export import write_model
        from zigllm_cli.train.lora import LoraNetwork, write_adapter

        network, output = self.network, self.request.output
        if isinstance(network, LoraNetwork):
            write_adapter(output, network, self.settings, self.request.name or output.stem)
            return
        arrays = network.parameters.views(network.flat)
        general = {"name": self.request.name or output.stem, "file_type": 0}
        write_model(output, network.shape, arrays, self.task.vocabulary.entries(), general)

    def _samples(self) -> list[str]:
        from zigllm_cli.train.microgpt import sample

        s, task = self.settings, self.task
        if s.task != "names":
            return []
        end = task.vocabulary.end
        ids = (sample(self.network, task.random, end, s.temperature) for _ in range(s.samples))
        return [task.vocabulary.decode(each) for each in ids]


@contextmanager
def stopped_between_steps(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C wait for the end of a step, where a checkpoint can be written, but once."""

    def stop(*_: Any) -> None:
        trainer.stopping = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def checkpoint_of(output: Path) -> Path:
    """Where a run keeps its state until it is done."""
    return output.with_name(f"{output.name}.checkpoint")


def _check(request: Request) -> None:
    """Refuse now what could not be written at the end."""
    checkpoint = checkpoint_of(request.output)
    inputs = [request.data, request.validation, request.init and resolve(request.init)]
    check_output(request.output, inputs)
    if request.plot is not None:
        from zigllm_cli.commands._train_plot import check_form

        check_form(request.plot)  # and says now if matplotlib is missing
        check_output(request.plot, inputs)
    if checkpoint.exists() and not (request.resume or request.restart):
        raise UsageError(
            f"{checkpoint} holds a run that is not finished: --resume goes on with it, --restart"
            " begins anew"
        )


def _check_options(s: Settings, request: Request) -> None:
    """Refuse options that this task, or this vocabulary, would not look at."""
    made = s.task in PUZZLES
    if request.validation is not None and (made or s.task == "names"):
        kept = "keeps a part of its own back" if made else "learns from all documents"
        raise UsageError(f"{s.task} {kept}; leave --validation out")
    if made and "context" in request.changes:
        raise UsageError(f"{s.task} makes sequences of one length; leave --ctx out")
    if s.task not in ("text", "lines") and request.changes.get("vocabulary") == "bpe":
        raise UsageError(f"{s.task} is learned by characters; leave --vocab out")
    if "vocabulary_size" in request.changes and s.vocabulary != "bpe":
        raise UsageError("--vocab-size is that of byte pairs; add --vocab bpe, or leave it out")


def _as_in_file(s: Settings, shape: Shape) -> Settings:
    """The settings with a file's sizes; its context is the longest that can be asked for."""
    sizes = {name: getattr(shape, name) for name in SIZES if hasattr(shape, name)}
    sizes.pop("vocabulary")
    return s.changed(**sizes, context=min(s.context, shape.context))


def _fitting(task: Any, initial: Initial | None) -> Any:
    """The task, whose vocabulary must be that of the model to go on from."""
    if initial is not None and initial.shape.vocabulary != task.vocabulary.size:
        raise UsageError(
            f"the data has {task.vocabulary.size} tokens, the model to go on from"
            f" {initial.shape.vocabulary}: they must be the same"
        )
    return task


def _check_memory(shape: Shape, s: Settings) -> None:
    """Refuse a model whose parameters alone, with Adam's means and gradients, do not fit."""
    from zigllm_cli.machine import memory_limit
    from zigllm_cli.train.models import model
    from zigllm_cli.train.network import shards

    parameters = sum(tensor.size for tensor in model(shape.architecture).tensors(shape))
    size = 8 if s.precision == "float64" else 4
    need = parameters * size * (4 + len(shards(s.batch, s.context)))
    limit = memory_limit()
    if limit is not None and need > limit:
        raise MemoryLimitError(
            f"training {human_count(parameters)} parameters takes {human_bytes(need)}, this machine"
            f" has {human_bytes(limit)}; choose a smaller --width or fewer --layers"
        )


def _read(path: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from None
