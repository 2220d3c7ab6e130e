"""Train the recipes whose results are promised, and say what was reached beside the promise.

    python scripts/train_recipes.py FOLDER [--names names.txt] [--shakespeare input.txt] [NAME]...

FOLDER gets the models. Takes about five minutes on two cores; exit code 1 if a promise is not kept.
The texts are karpathy/makemore's names.txt and karpathy/char-rnn's tiny Shakespeare.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Records = list[Mapping[str, Any]]

NAMES = (
    "kamon ann karai jaire vialan karia yeran anna areli kaina konna keylen liole alerin earan "
    "lenne kana lara alela anton"
)


def microgpt(records: Records) -> tuple[str, bool]:
    """The original's loss and names, in half a second."""
    loss, last = records[-2]["loss"], records[-1]
    same = " ".join(last["samples"]) == NAMES and abs(loss - 2.64969447) < 5e-9
    seconds = last["training_seconds"]
    return f"loss {loss:.8f}, {seconds:.2f} s, its names: {same}", same and seconds <= 0.5


def shakespeare(records: Records) -> tuple[str, bool]:
    """Validation loss of at most 1.90."""
    loss = records[-1]["validation_loss"]
    return f"validation loss {loss:.4f}", loss <= 1.90


def share(least: float) -> Callable[[Records], tuple[str, bool]]:
    """At least this share of the held-out questions."""

    def check(records: Records) -> tuple[str, bool]:
        right, asked = records[-1]["right"], records[-1]["asked"]
        return f"{right} of {asked} right", right >= least * asked

    return check


def main() -> None:
    """Train, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("only", nargs="*", metavar="NAME")
    parser.add_argument("--names", type=Path, default=Path("names.txt"))
    parser.add_argument("--shakespeare", type=Path, default=Path("tinyshakespeare.txt"))
    options = parser.parse_args()
    runs: dict[str, tuple[list[str], Callable[[Records], tuple[str, bool]]]] = {
        "microgpt": ([str(options.names)], microgpt),
        "nanogpt-shakespeare-cpu": ([str(options.shakespeare)], shakespeare),
        "mingpt-sort": ([], share(1.0)),
        "mingpt-adder": ([], share(0.99)),
    }
    kept = True
    for recipe, (data, check) in runs.items():
        if options.only and recipe not in options.only:
            continue
        output = options.folder / f"{recipe}.gguf"
        command = [sys.executable, "-m", "zigllm_cli", "train", *data, "-o", str(output)]
        command += ["--recipe", recipe, "--restart", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        text, good = check([json.loads(line) for line in done.stdout.splitlines()])
        kept &= good
        print(f"{recipe:26}{'kept' if good else 'NOT KEPT':10}{text}", flush=True)
    sys.exit(not kept)


if __name__ == "__main__":
    main()
