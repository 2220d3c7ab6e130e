"""`zigllm chat` in a terminal: a pty stands in, and what it shows is read like a screen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from random_model import RANDOM

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1b[=>]")
WAIT = 30.0
METER = r"tokens, \d+%"
"""The line below the prompt, drawn when a line can be typed."""


class Terminal:
    """A chat in a terminal of its own."""

    def __init__(self, home: Path, *args: str, columns: int = 80, **environment: str) -> None:
        import fcntl
        import struct

        self.leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        places = {"XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home), "TERM": "xterm"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zigllm_cli", "chat", "-m", RANDOM, *args],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, **places, **environment},
        )
        os.close(follower)
        self.raw = ""
        self._read = 0

    def until(self, wanted: str) -> str:
        """What comes up to a pattern, without escapes; what came is not looked at again."""
        import select

        deadline = time.monotonic() + WAIT
        while True:
            text = ESCAPES.sub("", self.raw[self._read :])
            if re.search(wanted, text, re.DOTALL):
                self._read = len(self.raw)
                return text
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.leader], [], [], left)[0]:
                raise AssertionError(f"{wanted!r} did not come, but {text!r}")
            try:
                piece = os.read(self.leader, 65536).decode("utf-8", "replace")
            except OSError:
                raise AssertionError(f"{wanted!r} did not come, but the end: {text!r}") from None
            if "\x1b[6n" in piece:  # where is the cursor?
                os.write(self.leader, b"\x1b[1;1R")
            self.raw += piece

    def send(self, text: str, wanted: str) -> str:
        os.write(self.leader, text.encode())
        return self.until(wanted)

    def command(self, text: str, wanted: str) -> str:
        """What a line brings, up to the next prompt: what is typed before it is lost."""
        return self.send(f"{text}\r", f"{wanted}.*{METER}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.leader)


Open = Callable[..., Terminal]

READY = f"Ctrl-D leaves.*{METER}"
ANSWERS = r"\r\r\n(?:(?!\r\r\n|▕).){20}"
"""The line that was typed is left behind, and text stands below it, not a prompt drawn anew."""
CUT = r"\(cut after \d+ tokens"


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Open]:
    opened: list[Terminal] = []

    def start(*args: str, **options: object) -> Terminal:
        opened.append(Terminal(tmp_path, *args, **options))  # type: ignore[arg-type]
        opened[-1].until(READY)
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_every_command(chat: Open, tmp_path: Path) -> None:
    terminal = chat("-n", "8", "--seed", "1", "--template", "zephyr", columns=200)
    assert "/regen" in terminal.command("/help", "Ctrl-R looks for")
    terminal.command("/system hear me", "system prompt: hear me")
    (tmp_path / "note.txt").write_text("a note\n")
    terminal.command(f"/read {tmp_path}/note.txt", r"attached \(\d+ tokens\)")
    terminal.command("what?", CUT)
    terminal.command("/stats", r"known from before.*finish +length")
    terminal.command("/tokens", r"with the template around them")
    terminal.command("/tokens speak", r"\d+ tokens")
    terminal.command("/context", r"of 256 tokens")
    terminal.command("/set temp=0", "temperature = 0")
    terminal.command("/set temp=warm", "temperature can't be 'warm'")
    terminal.command("/set nothing=1", "there is no setting 'nothing'")
    terminal.command("/params", r"temperature +0.0 +\(changed\)")
    terminal.command("/regen", CUT)
    terminal.command(f"/save {tmp_path}/talk.json", "3 messages are in")
    terminal.command(f"/save {tmp_path}/talk.md", "3 messages are in")
    assert "## You\n\nnote.txt:\n```\na note\n```\n\nwhat?" in (tmp_path / "talk.md").read_text()
    terminal.command("/undo", "taken back: note.txt")
    terminal.command(f"/load {tmp_path}/talk.json", "3 messages are loaded")
    terminal.command("/copy", "characters are copied")
    assert "\x1b]52;c;" in terminal.raw
    terminal.command("/template", "TinyLlama Chat")
    terminal.command("/template chatml", "template: chatml")
    terminal.command("/model builtin", r"builtin\.gguf \(llama\)")
    terminal.send("/edit\r", "what.")
    terminal.command(" now", CUT)
    terminal.command("/clear", "cleared")
    terminal.command("/nonsense", "no command; /help lists them all")
    terminal.send("/exit\r", r"kept as .*--continue goes on with it")
    assert terminal.process.wait(30) == 0


def test_ctrl_c_stops_the_answer_and_ctrl_d_leaves(chat: Open) -> None:
    terminal = chat("--ctx", "4096", "--ignore-eos")
    terminal.send("hear me\r", ANSWERS)
    terminal.send("\x03", r"\(stopped\).*tokens, \d+%")
    terminal.send("half a line\x03", "Ctrl-D or /exit leaves")
    terminal.command("/tokens", r"user +hear me.*assistant")
    terminal.send("\x04", "kept as")
    assert terminal.process.wait(30) == 0


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.005, 0.02])
def test_ctrl_c_at_any_moment_after_a_line_goes_on(chat: Open, seconds: float) -> None:
    terminal = chat("--ctx", "4096", "--ignore-eos")
    os.write(terminal.leader, b"hear me\r")
    while not termios.tcgetattr(terminal.leader)[3] & termios.ISIG:  # the prompt still has the keys
        time.sleep(0.0002)
    time.sleep(seconds)
    terminal.send("\x03", rf"(\(stopped\)|/exit leaves).*{METER}")
    terminal.command("/context", "of 4,096 tokens")


def test_several_lines_completion_and_history(chat: Open) -> None:
    terminal = chat("-n", "4", "--template", "none")
    terminal.send("one\\\r", r"\.")
    terminal.command("two", CUT)
    terminal.command('"""\rthree\r\rfour\r"""', CUT)
    assert terminal.command("/tokens", "template around").count("user") == 2
    terminal.command("/sta\t", "known from before")
    terminal.send("\x04", "kept as")
    later = chat("-n", "4", "--template", "none")
    later.send("\x12four", "four")
    later.send("\r\r", CUT)


def test_a_killed_chat_goes_on(chat: Open) -> None:
    """At most the answer that was being given is lost."""
    terminal = chat("-n", "8", "--seed", "1")
    terminal.command("hear", CUT)
    terminal.send("\x04", "kept as")
    terminal = chat("-C", "--ctx", "4096", "--ignore-eos")
    terminal.send("speak\r", ANSWERS)
    os.kill(terminal.process.pid, signal.SIGKILL)
    terminal.process.wait()
    terminal = chat("-C", "-n", "4")
    assert "going on with 3 messages" in ESCAPES.sub("", terminal.raw)
    assert "it has no answer yet" in ESCAPES.sub("", terminal.raw)
    terminal.command("/regen", CUT)


def test_no_colours_and_a_narrow_window(chat: Open) -> None:
    terminal = chat("-n", "30", "--system", "x" * 50, columns=60, NO_COLOR="1")
    terminal.command("hear", CUT)
    terminal.command("/help", "Ctrl-D leaves")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.raw)
    lines = ESCAPES.sub("", terminal.raw[terminal.raw.index("/clear") :]).splitlines()
    assert max(map(len, lines)) <= 62
