"""Downloads from a hub served on loopback: resumed, checked, named."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from random_model import RANDOM_MODEL

from zigllm_cli.catalog.hub import RemoteFile, choose, parse
from zigllm_cli.errors import UsageError

pytest.importorskip("huggingface_hub")

Run = Callable[..., "subprocess.CompletedProcess[str]"]

REPO = "someone/tiny-GGUF"
COMMIT = "1" * 40


@dataclass
class Hub:
    """What the server has, and what it was asked for.

    Attributes:
        cut: bytes after which the next download breaks off; None for never.
        ranges: of each download, the Range header.
    """

    files: dict[str, bytes]
    digests: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def hub() -> Iterator[Hub]:
    model = RANDOM_MODEL.read_bytes()
    state = Hub({"README.md": b"# tiny", "tiny.Q4_K_M.gguf": model, "tiny.Q8_0.gguf": model[::-1]})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._file(send=False)

        def do_GET(self) -> None:
            if self.path.startswith(f"/api/models/{REPO}"):
                self._reply(json.dumps(description(state)).encode(), "application/json")
            else:
                self._file(send=True)

        def _file(self, *, send: bool) -> None:
            match = re.fullmatch(rf"/{REPO}/resolve/[^/]+/(.+)", self.path)
            if match is None or match[1] not in state.files:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = state.files[match[1]]
            start = 0
            if send:
                wanted = self.headers.get("Range")
                state.ranges.append(wanted)
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if send:
                stop = len(data) if state.cut is None else state.cut
                self.wfile.write(data[start:stop])
                if stop < len(data):
                    self.close_connection = True

        def _reply(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def description(state: Hub) -> dict[str, object]:
    def sibling(name: str, data: bytes) -> dict[str, object]:
        digest = state.digests.get(name, hashlib.sha256(data).hexdigest())
        lfs = {"sha256": digest, "size": len(data), "pointerSize": 9}
        return {"rfilename": name, "size": len(data), "blobId": "0", "lfs": lfs}

    siblings = [sibling(name, data) for name, data in state.files.items()]
    return {"id": REPO, "modelId": REPO, "sha": COMMIT, "private": False, "siblings": siblings}


@pytest.fixture
def pull(hub: Hub, zigllm: Run, tmp_path: Path) -> Run:
    """`zigllm models pull` in a home of its own."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "http", "HTTP", "all"))},
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
    }
    return lambda *args: zigllm("models", *args, env=environment, cwd=tmp_path)


def test_a_model_is_downloaded_checked_and_named(hub: Hub, pull: Run, tmp_path: Path) -> None:
    done = pull("pull", REPO)
    assert (done.returncode, done.stdout) == (0, "tiny.Q4_K_M\n"), done.stderr
    listed = json.loads(pull("--json").stdout)["models"]
    assert [m["name"] for m in listed] == ["tiny.Q4_K_M"]
    assert Path(listed[0]["path"]).read_bytes() == hub.files["tiny.Q4_K_M.gguf"]
    assert (listed[0]["architecture"], listed[0]["type"]) == ("llama", "Q4_K_M")
    assert listed[0]["size"] == len(hub.files["tiny.Q4_K_M.gguf"])

    again = pull("pull", REPO)
    assert again.returncode == 0
    assert "is 'tiny.Q4_K_M' already" in again.stderr
    assert len(hub.ranges) == 1


def test_an_interrupted_download_goes_on(hub: Hub, pull: Run) -> None:
    """huggingface_hub writes pieces of 10 MB: what was whole of them is not asked for again."""
    hub.files["tiny.F16.gguf"] = hub.files["tiny.Q4_K_M.gguf"] + bytes(24 << 20)
    hub.cut = 12 << 20
    done = pull("pull", f"{REPO}:f16")
    assert done.returncode == 6, done.stderr
    assert "what came so far is kept" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("zigllm: cannot get someone/tiny-GGUF")
    hub.cut = None
    asked = len(hub.ranges)
    done = pull("pull", f"{REPO}:f16", "--name", "t")
    assert (done.returncode, done.stdout) == (0, "t\n"), done.stderr
    assert hub.ranges[asked:] == [f"bytes={10 << 20}-"]
    path = Path(json.loads(pull("--json").stdout)["models"][0]["path"])
    assert path.read_bytes() == hub.files["tiny.F16.gguf"]
    assert not list(path.resolve().parent.glob("*part*"))


def test_a_damaged_file_is_thrown_away(hub: Hub, pull: Run) -> None:
    hub.digests["tiny.Q8_0.gguf"] = "0" * 64
    for _ in range(2):
        done = pull("pull", f"{REPO}:Q8_0")
        assert done.returncode == 6
        assert "its SHA-256 is not the hub's" in done.stderr
    assert len(hub.ranges) == 2
    assert json.loads(pull("--json").stdout)["models"] == []


def test_what_the_hub_has_not(hub: Hub, pull: Run) -> None:
    done = pull("pull", f"{REPO}:Q2_K")
    assert done.returncode == 2
    assert "no file of type Q2_K; name one of these: tiny.Q4_K_M.gguf, tiny.Q8_0" in done.stderr
    done = pull("pull", "nobody/nothing")
    assert done.returncode == 6
    assert "cannot get nobody/nothing from the hub" in done.stderr
    done = pull("pull", "nothing")
    assert done.returncode == 2


def test_which_files_make_a_model() -> None:
    def names(*found: str, quant: str | None = None) -> list[str]:
        files = [RemoteFile(name, None, None) for name in found]
        return [file.name for file in choose(files, quant, "r")]

    assert names("a-Q8_0.gguf", "a-Q4_K_M.gguf", "a-Q4_K_S.gguf") == ["a-Q4_K_M.gguf"]
    assert names("a.gguf", "mmproj-a.gguf") == ["a.gguf"]
    shards = [f"Q4_0/a-Q4_0-0000{i}-of-00002.gguf" for i in (2, 1)]
    assert names(*shards, quant="q4_0") == sorted(shards)
    assert names("a-IQ4_0.gguf", "a-Q4_0.gguf", quant="Q4_0") == ["a-Q4_0.gguf"]
    with pytest.raises(UsageError, match=r"several files of type Q4_0: a-Q4_0\.gguf, b-Q4_0\.gguf"):
        names("a-Q4_0.gguf", "b-Q4_0.gguf")
    with pytest.raises(UsageError, match="has no GGUF file"):
        names("model.safetensors")
    assert parse("a/b") == ("a/b", None)
    assert parse("a/b-GGUF:Q4_0") == ("a/b-GGUF", "Q4_0")
    for wrong in ("a", "a/b/c", "a/b:", "../x:y"):
        with pytest.raises(UsageError, match=re.escape(wrong)):
            parse(wrong)
