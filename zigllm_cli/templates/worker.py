"""The process in which templates run, and its other end.

A template is a program of strangers, and Jinja's sandbox bounds neither its time nor its memory:
a loop over a loop, `"a" * 3000000000` or a list that holds itself twice, fifty times over, keep
the interpreter busy where no check of ours is ever reached. So templates run in a process of
their own, which the operating system ends when it has used its second or its memory. It is
started once, and anew after one that had to die.

Requests are lengths and marshal, from us to it; answers are lines of JSON.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import marshal
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

from zigllm_cli.errors import GenerationError

SECONDS = 1.0
"""Processor time for one rendering."""
PATIENCE = 15.0
"""Seconds on the clock, for a machine that is busy with other things."""
MEMORY = 1 << 30
"""Bytes of address space."""
MOST_TEXT = 16 << 20
"""Characters that a template may make."""

Request = dict[str, Any]
Answer = dict[str, Any]


class Worker:
    """The other end: sends a request, waits for the answer, replaces a process that died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, request: Request) -> Answer:
        """The answer to a request.

        Raises:
            GenerationError: the process did not live to give one.
        """
        with self._lock:
            process = self.start()
            timer = threading.Timer(PATIENCE if os.name == "posix" else SECONDS, process.kill)
            timer.start()
            try:
                return self._exchange(process, marshal.dumps(request))
            except BaseException:  # Ctrl-C too: its late answer would be taken for the next one's
                self.stop()
                raise
            finally:
                timer.cancel()

    def start(self) -> subprocess.Popen[bytes]:
        """The process, started if need be: this takes a while, and can be done ahead."""
        if self._process is None or self._process.poll() is not None:
            self.stop()
            folder = str(Path(__file__).resolve().parents[2])
            code = f"import sys; sys.path.insert(0, {folder!r}); import {__name__} as w; w.serve()"
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> Answer:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(len(request).to_bytes(8, "little") + request)
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise GenerationError(
                f"the chat template was ended: it ran for longer than {SECONDS:g} s or broke down; "
                "use another one with --template"
            )
        answer: Answer = json.loads(line)
        return answer


WORKER = Worker()
atexit.register(WORKER.stop)


# ---------------------------------------------------------------------- inside the process


def serve() -> None:
    """Answer requests until there are no more."""
    _limit_memory()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    from zigllm_cli.templates.running import run

    while request := _read(requests):
        _limit_time(SECONDS)
        answer = json.dumps(run(request, MOST_TEXT)).encode("ascii")
        _limit_time(0)
        answers.write(answer + b"\n")
        answers.flush()


def _read(stream: BinaryIO) -> Request | None:
    head = stream.read(8)
    if len(head) < 8:
        return None
    request: Request = marshal.loads(stream.read(int.from_bytes(head, "little")))
    return request


def _limit_memory() -> None:
    """Less memory than would hurt the machine, and Ctrl-C is for our parent alone."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(seconds: float) -> None:
    """Let the system end this process after so much processor time; 0 takes it back."""
    import signal

    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
