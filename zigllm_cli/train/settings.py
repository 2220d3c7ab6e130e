"""Hyper-parameters of a run: a recipe's, changed by what the command line says.

A recipe is a TOML file of `recipes/`, or of the user's own, with any of the fields of `Settings`.
Comments are welcome in it; it is meant to be read.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from zigllm_cli.errors import InputError, UsageError, unreadable
from zigllm_cli.train.models import MODELS
from zigllm_cli.train.shape import Shape

FOLDER = Path(__file__).parent / "recipes"
VOCABULARIES = ("characters", "bpe")
TASKS = ("text", "lines", "names", "sort", "adder")
PRECISIONS = ("float32", "float64")
SCHEDULES = ("cosine", "linear")

LACKING = {
    "llama": ("bias",),
    "gpt2": ("kv_heads", "rope_base"),
    "microgpt": ("kv_heads", "rope_base", "bias", "dropout"),
}
"""By architecture, the settings that it has nothing for: they stay as they are."""


@dataclass(frozen=True)
class Settings:
    """See docs/train.md for what each one does; 0 means "follow another one" where that is said.

    Attributes:
        task: what the data is: running text, a document per line, or made by a rule.
        vocabulary_size: wanted tokens of a BPE vocabulary.
        special: control tokens of the vocabulary besides the end of a document.
        validation: share of the text, from its end, that is held out.
        kv_heads: 0 for as many as heads.
        ff: 0 for 4 width (gpt2), or 8/3 width rounded up to 32s (llama).
        precision: of all numbers while training.
        schedule: how the learning rate falls behind the warm-up.
        decay_steps: until the learning rate has reached `min_learning_rate`; 0 for all steps.
        accumulate: batches whose gradients make one step.
        clip: largest norm of the gradient; 0 for any.
        lora_rank: of an adapter to learn instead of the model; 0 for none.
        lora_alpha: the adapter counts lora_alpha / lora_rank times.
        evaluate_every: steps between two validations.
        evaluate_batches: batches of one; the last one takes the whole held-out text.
        digits: of the numbers that `sort` sorts, or of those that `adder` adds.
        symbols: different ones that `sort` sorts.
        samples: documents to be made up at the end (`names`), at this temperature.
    """

    task: str = "text"
    vocabulary: str = "characters"
    vocabulary_size: int = 1024
    special: tuple[str, ...] = ()
    validation: float = 0.1
    architecture: str = "llama"
    layers: int = 4
    width: int = 128
    heads: int = 4
    kv_heads: int = 0
    ff: int = 0
    context: int = 128
    bias: bool = False
    tied: bool = True
    rope_base: float = 10000.0
    epsilon: float = 1e-5
    init_std: float = 0.02
    precision: str = "float32"
    batch: int = 16
    steps: int = 2000
    accumulate: int = 1
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-4
    schedule: str = "cosine"
    warmup: int = 100
    decay_steps: int = 0
    beta1: float = 0.9
    beta2: float = 0.99
    adam_epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    dropout: float = 0.0
    lora_rank: int = 0
    lora_alpha: float = 16.0
    evaluate_every: int = 250
    evaluate_batches: int = 20
    digits: int = 6
    symbols: int = 3
    seed: int = 1337
    samples: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("task", TASKS),
            ("vocabulary", VOCABULARIES),
            ("architecture", MODELS),
            ("precision", PRECISIONS),
            ("schedule", SCHEDULES),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}"
                )
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{name} is {value}; choose {least} to {most}")
        for name in LACKING[self.architecture]:
            usual = (0, self.heads) if name == "kv_heads" else (FIELDS[name].default,)
            if getattr(self, name) not in usual:
                raise UsageError(
                    f"{name} is {getattr(self, name)}, but {self.architecture} has no such thing;"
                    " leave it out"
                )

    def changed(self, **values: Any) -> Settings:
        """These with other values, each of the field's own type.

        Raises:
            UsageError: an unknown name, or a value that is not of its type or makes no sense.
        """
        now = asdict(self)
        for name, value in values.items():
            if name not in now:
                raise UsageError(
                    f"there is no setting {name!r}; known are {', '.join(sorted(now))}"
                )
            now[name] = _typed(name, value, now[name])
        return Settings(**now)

    def shape(self, vocabulary: int) -> Shape:
        """The model's sizes for a vocabulary of so many tokens."""
        plain = -(-8 * self.width // 96) * 32 if self.architecture == "llama" else 4 * self.width
        return Shape(
            architecture=self.architecture,
            vocabulary=vocabulary,
            context=self.context,
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            kv_heads=self.kv_heads or self.heads,
            ff=self.ff or plain,
            bias=self.bias,
            tied=self.tied,
            rope_base=self.rope_base,
            epsilon=self.epsilon,
            init=self.init_std,
        )


FIELDS = {each.name: each for each in fields(Settings)}

MUCH = 1 << 20
BOUNDS: dict[str, tuple[float, float]] = {
    "vocabulary_size": (1, MUCH),
    "validation": (0, 0.9),
    "layers": (1, 1000),
    "width": (1, 1 << 16),
    "heads": (1, 1 << 12),
    "kv_heads": (0, 1 << 12),
    "ff": (0, 1 << 18),
    "context": (2, MUCH),
    "rope_base": (1, 1e12),
    "epsilon": (1e-12, 1),
    "init_std": (0, 100),
    "batch": (1, MUCH),
    "steps": (1, 1 << 40),
    "accumulate": (1, MUCH),
    "learning_rate": (0, 100),
    "min_learning_rate": (0, 100),
    "warmup": (0, 1 << 40),
    "decay_steps": (0, 1 << 40),
    "beta1": (0, 0.999999),
    "beta2": (0, 0.999999),
    "adam_epsilon": (1e-30, 1),
    "weight_decay": (0, 100),
    "clip": (0, 1e9),
    "dropout": (0, 0.95),
    "lora_rank": (0, 1 << 12),
    "lora_alpha": (1e-3, 1e6),
    "evaluate_every": (1, 1 << 40),
    "evaluate_batches": (1, MUCH),
    "digits": (1, 16),
    "symbols": (2, 10),
    "samples": (0, MUCH),
    "temperature": (1e-3, 100),
    "seed": (0, (1 << 63) - 1),
}
"""Least and most of every number."""


def _typed(name: str, value: Any, like: Any) -> Any:
    """A value from a file or a word of the command line, as the type of the old one."""
    if isinstance(value, str) and not isinstance(like, str):
        value = _parsed(value)
    if isinstance(like, tuple) and isinstance(value, list | tuple):
        if all(isinstance(item, str) for item in value):
            return tuple(value)
    elif isinstance(like, bool) or isinstance(value, bool):
        if isinstance(like, bool) and isinstance(value, bool):
            return value
    elif isinstance(like, float) and isinstance(value, int | float):
        return float(value)
    elif isinstance(value, type(like)):
        return value
    kind = {tuple: "list of texts", bool: "true or false", int: "whole number"}
    wanted = kind.get(type(like), "number" if isinstance(like, float) else "text")
    raise UsageError(f"{name} is {value!r}; a {wanted} is needed")


def _parsed(word: str) -> Any:
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word


@dataclass(frozen=True)
class Recipe:
    """A named list of hyper-parameters.

    Attributes:
        about: one sentence.
    """

    name: str
    settings: Settings
    about: str = ""


def recipe_names() -> list[str]:
    """Those that come with the program."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """A recipe by name, or from a TOML file.

    Raises:
        UsageError: no such recipe, or one with a setting that is unknown or makes no sense.
        InputError: the file cannot be read.
    """
    path = FOLDER / f"{name}.toml" if name in recipe_names() else Path(name)
    if path.suffix != ".toml":
        raise UsageError(
            f"there is no recipe {name!r}; choose {', '.join(recipe_names())}, or a .toml file"
        )
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise unreadable(path, error) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}") from None
    about = str(values.pop("about", ""))
    try:
        return Recipe(path.stem, Settings().changed(**values), about)
    except UsageError as error:
        raise UsageError(f"recipe {path.stem}: {error}") from None
