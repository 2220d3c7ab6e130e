"""Where the user's files lie on this platform: configuration, and state such as conversations."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600


def config_folder() -> Path:
    """The user's configuration folder for zigllm."""
    return _folder("XDG_CONFIG_HOME", ".config", "APPDATA", "Roaming")


def state_folder() -> Path:
    """The folder for what zigllm keeps between runs: conversations, and the lines typed."""
    return _folder("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA", "Local")


def private_folder(path: Path) -> Path:
    """`path`, made if need be, for nobody else to look into."""
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    return path


def _folder(variable: str, usual: str, windows: str, windows_usual: str) -> Path:
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get(windows, home / "AppData" / windows_usual))
    else:
        base = Path(os.environ.get(variable) or home / usual)
    return base / "zigllm"
