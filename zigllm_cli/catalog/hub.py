"""Models of the Hugging Face hub: which file of a repository is meant, and getting it.

Talking to the hub is huggingface_hub's work; it honours HF_ENDPOINT, HF_HOME and HF_TOKEN, and
files go into the cache that other programs share. Two things it does not do (any more) are done
here: going on with a download that an earlier run began, and comparing checksums.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zigllm_cli.errors import InputError, NetworkError, UsageError

USUAL = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q8_0", "Q6_K", "F16", "BF16")
"""What is taken of a repository when nothing was said, in this order."""

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None] | None]]

_REPOSITORY = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?::(?P<quant>[\w.-]+))?")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_PIECE = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; size in bytes and SHA-256 where the hub tells them."""

    name: str
    size: int | None
    sha256: str | None


def parse(word: str) -> tuple[str, str | None]:
    """USER/REPO[:QUANT] in its parts.

    Raises:
        UsageError: it has another form.
    """
    match = _REPOSITORY.fullmatch(word)
    if match is None:
        raise UsageError(
            f"{word!r} is not USER/REPO or USER/REPO:QUANT, like bartowski/x-GGUF:Q4_K_M"
        )
    return match["repo"], match["quant"]


def choose(files: Iterable[RemoteFile], quant: str | None, repo: str) -> list[RemoteFile]:
    """The files of one model, in the order of its shards.

    Raises:
        UsageError: there is none, or more than one; the message names what there is.
    """
    models = [f for f in files if f.name.endswith(".gguf") and "mmproj" not in f.name.lower()]
    if not models:
        raise UsageError(
            f"{repo} has no GGUF file; look for a repository whose name ends with GGUF"
        )
    groups: dict[str, list[RemoteFile]] = {}
    for file in sorted(models, key=lambda f: f.name):
        groups.setdefault(_SHARD.sub(".gguf", file.name), []).append(file)
    for wanted in USUAL if quant is None else (quant,):
        pattern = re.compile(rf"(?:^|[._/-]){re.escape(wanted)}(?:[._/-]|$)", re.IGNORECASE)
        found = [name for name in groups if pattern.search(name)]
        if len(found) == 1:
            return groups[found[0]]
        if len(found) > 1:
            raise UsageError(f"{repo} has several files of type {wanted}: {', '.join(found)}")
    if quant is None and len(groups) == 1:
        return next(iter(groups.values()))
    known = ", ".join(groups)
    raise UsageError(f"{repo} has no file of type {quant or USUAL[0]}; name one of these: {known}")


def pull(repo: str, quant: str | None, progress: Progress) -> Path:
    """Download a model; the path of its file, or of the first shard.

    Args:
        progress: shows how far the checksum of a file is (label and size in bytes).

    Raises:
        NetworkError: the hub can't be reached, refuses, or a file came damaged.
        UsageError: no such model in the repository, or huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UsageError(
            "downloading needs huggingface_hub: pip install 'zigllm-cli[hub]'"
        ) from None
    with _reported(repo):
        info = HfApi().model_info(repo, files_metadata=True)
        commit = str(info.sha)
        files = choose(map(_remote, info.siblings or ()), quant, repo)
    paths = [_fetch(repo, commit, file, progress) for file in files]
    return paths[0]


def _fetch(repo: str, commit: str, file: RemoteFile, progress: Progress) -> Path:
    """One file: from the cache, or downloaded beside its place there, checked and put into it."""
    from huggingface_hub import (
        constants,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )
    from huggingface_hub.file_download import http_get, repo_folder_name
    from huggingface_hub.utils._fixes import WeakFileLock
    from huggingface_hub.utils._headers import build_hf_headers

    known = try_to_load_from_cache(repo, file.name, revision=commit)
    if isinstance(known, str):
        return Path(known)
    url = hf_hub_url(repo, file.name, revision=commit)
    with _reported(f"{repo}/{file.name}"):
        etag = str(get_hf_file_metadata(url).etag)
        folder = repo_folder_name(repo_id=repo, repo_type="model")
        blob = Path(constants.HF_HUB_CACHE) / folder / "blobs" / etag
        blob.parent.mkdir(parents=True, exist_ok=True)
        part = blob.with_name(f"{etag}.zigllm-part")
        with WeakFileLock(f"{part}.lock"), part.open("ab") as stream:
            http_get(
                url,
                stream,
                resume_size=stream.tell(),
                headers=build_hf_headers(),
                expected_size=file.size,
                displayed_filename=file.name,
            )
        Path(f"{part}.lock").unlink(missing_ok=True)
    _verify(part, file, progress)
    part.replace(blob)
    with _reported(f"{repo}/{file.name}"):
        return Path(hf_hub_download(repo, file.name, revision=commit))  # finds the blob there


def _remote(sibling: Any) -> RemoteFile:
    lfs = sibling.lfs or {}
    digest = lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)
    return RemoteFile(sibling.rfilename, sibling.size, digest)


def _verify(path: Path, file: RemoteFile, progress: Progress) -> None:
    """Compare a file with what the hub says it is; a damaged one is thrown away."""
    if file.sha256 is None:
        return
    digest = hashlib.sha256()
    with progress(file.name, path.stat().st_size) as advance, path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            if advance is not None:
                advance(len(piece))
    if digest.hexdigest() != file.sha256:
        path.unlink()
        raise NetworkError(f"{file.name} came damaged: its SHA-256 is not the hub's; pull it again")


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into a sentence."""
    try:
        yield
    except (KeyboardInterrupt, UsageError, InputError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NetworkError(
            f"cannot get {what} from the hub: {lines[-1].strip()[:300]}; what came so far is kept,"
            " so try again later"
        ) from None
