"""What could not be written at the end of long work is refused at its beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

from zigllm_cli.atomic import check_output
from zigllm_cli.errors import InputError, UsageError


def test_a_new_file_and_an_old_one_are_fine(tmp_path: Path) -> None:
    old, source = tmp_path / "old", tmp_path / "source"
    for path in (old, source):
        path.write_bytes(b"old")
    check_output(old, [source, None, tmp_path / "missing"])
    check_output(tmp_path / "new", [source])
    check_output("/dev/null", ["/dev/null"])
    assert old.read_bytes() == b"old"
    assert not (tmp_path / "new").exists()


def test_folders_that_are_missing_or_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a directory; name a file in it"):
        check_output(tmp_path)
    with pytest.raises(InputError, match=r"there is no folder .*sub; make it first"):
        check_output(tmp_path / "sub" / "file")


@pytest.mark.parametrize("link", ["none", "symbolic", "hard"])
def test_an_input_by_any_name(tmp_path: Path, link: str) -> None:
    source = name = tmp_path / "source"
    source.write_bytes(b"text")
    if link != "none":
        name = tmp_path / "name"
        name.symlink_to(source) if link == "symbolic" else name.hardlink_to(source)
    with pytest.raises(UsageError, match="is the file being read; write to another name"):
        check_output(name, [tmp_path / "missing", source])
