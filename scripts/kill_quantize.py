"""Kill `zigllm quantize` at random moments and look at what is left.

    python scripts/kill_quantize.py MODEL.gguf [--times 50] [--type Q8_0]

Whatever the moment, the output path holds nothing, the old file or the complete new one. Every
third time there is an old file; half of the kills are SIGKILL, half Ctrl-C, after which nothing
else may be left in the folder.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter


def run(source: Path, target: Path, kind: str) -> subprocess.Popen[bytes]:
    """Start one."""
    command = [sys.executable, "-m", "zigllm_cli", "quantize", str(source), str(target), kind]
    return subprocess.Popen(
        [*command, "--allow-requantize"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def what(content: bytes | None, old: bytes | None, complete: bytes) -> str:
    """What stands at the output path, for the report."""
    if content == complete:
        return "the new file"
    if content != old:
        return "SOMETHING ELSE"
    return "nothing" if old is None else "the old file"


def main() -> int:
    """Report what was found; 1 if the path ever held anything else."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--type", default="Q8_0")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, found, bad = random.Random(options.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory(dir=options.source.parent) as folder:
        target = Path(folder, "out.gguf")
        run(options.source, target, options.type).wait()  # compiles
        started = perf_counter()
        run(options.source, target, options.type).wait()
        duration, complete = perf_counter() - started, target.read_bytes()
        for number in range(options.times):
            target.unlink(missing_ok=True)
            old = b"an old file" if number % 3 == 0 else None
            if old:
                target.write_bytes(old)
            process = run(options.source, target, options.type)
            started, hard = perf_counter(), bool(number % 2)
            try:
                process.wait(rng.uniform(0.1, 0.95) * duration)
                duration = perf_counter() - started
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL if hard else signal.SIGINT)
                process.wait()
            content = target.read_bytes() if target.exists() else None
            found[what(content, old, complete)] += 1
            rest = [path for path in Path(folder).iterdir() if path != target]
            bad += (content not in (old, complete)) or (bool(rest) and not hard)
            for path in rest:
                path.unlink()
    print(", ".join(f"{count} times {name}" for name, count in found.most_common()))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
