r"""Make `zigllm_cli/builtin.gguf`, the model that comes with the tool, from this folder alone.

    python scripts/train_builtin.py --work /tmp/builtin

The steps are commands that anybody can give: write the texts of two parts and train on them,
quantize, add what a chat needs to know. Two threads train in 49 minutes (a Zen 3); a run that was
interrupted goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "scripts" / "builtin"
TYPE = "Q8_0"
"""The best type that keeps the file below 4 MB; see docs/builtin.md for what each one costs."""

METADATA = {
    "general.description": "A tiny model that tells short stories and answers simple questions; "
    "trained with zigllm train on texts that scripts/builtin writes.",
    "general.license": "mit",
    "tokenizer.chat_template": (SOURCES / "chat_template.jinja").read_text("utf-8").strip("\n"),
}


def run(*command: str | Path) -> None:
    """A command of Python's, shown as it is given."""
    print("$ python", *command, flush=True)
    subprocess.run([sys.executable, *map(str, command)], check=True)


def zigllm(*command: str | Path) -> None:
    run("-m", "zigllm_cli", *command)


SECOND = ("--steps", "3200", "--lr", "2e-3")
"""What the second part of the training has otherwise than the recipe."""


def train(work: Path, part: str, *changes: str | Path) -> Path:
    """The model that a part of the training ends with; one that was interrupted goes on."""
    texts, held, model = (work / f"{part}{end}" for end in (".txt", "-held-out.txt", ".gguf"))
    run(SOURCES / "corpus.py", "--part", part, "--out", texts, "--held-out", held)
    if not model.exists():
        resume = ["--resume"] if model.with_name(f"{model.name}.checkpoint").exists() else []
        recipe = ("--recipe", SOURCES / "recipe.toml", "--name", "builtin", "-t", "2")
        zigllm("train", texts, "-o", model, *recipe, *changes, "--validation", held, *resume)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for what comes before")
    parser.add_argument("--output", type=Path, default=ROOT / "zigllm_cli" / "builtin.gguf")
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    first = train(work, "first")
    full = train(work, "second", "--init", first, *SECOND)
    small = work / "small.gguf"
    zigllm("quantize", full, small, TYPE)
    changes = [word for key, value in METADATA.items() for word in ("--set", f"{key}={value}")]
    zigllm("inspect", small, *changes, "-o", options.output)


if __name__ == "__main__":
    main()
