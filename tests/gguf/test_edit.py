"""Settings to metadata entries: types kept, given and guessed, and the copies that hold them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.gguf import Array, GGUFFile, ValueType, open_gguf
from zigllm_cli.gguf.edit import copy_gguf, edited_entries, parse_type

Raw = Callable[..., bytes]
U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10


@pytest.fixture
def model(tmp_path: Path, raw_gguf: Raw, raw_text: Raw) -> GGUFFile:
    keys = [
        ("general.architecture", STRING, raw_text("llama")),
        ("general.name", STRING, raw_text("old")),
        ("llama.context_length", U64, struct.pack("<Q", 2048)),
        ("llama.rope.freq_base", F32, struct.pack("<f", 10000)),
        ("flag", BOOL, b"\1"),
        ("signed", I32, struct.pack("<i", -1)),
        ("texts", ARRAY, struct.pack("<IQ", STRING, 1) + raw_text("a")),
        ("bytes", ARRAY, struct.pack("<IQ", 0, 2) + b"\1\2"),
        ("nested", ARRAY, struct.pack("<IQIQ2h", ARRAY, 1, 3, 2, 1, 2)),
        ("nothing", ARRAY, struct.pack("<IQ", ARRAY, 0)),
    ]
    infos = [("v", [3], 0, 0), ("w", [8], 0, 32)]
    (tmp_path / "m.gguf").write_bytes(raw_gguf(keys, infos, b"v" * 12 + bytes(20) + b"w" * 32))
    return open_gguf(tmp_path / "m.gguf")


Edit = Callable[..., GGUFFile]


@pytest.fixture
def edit(model: GGUFFile, tmp_path: Path) -> Edit:
    """Write the model with these settings and open the copy."""

    def run(*sets: str, unset: tuple[str, ...] = (), type_name: str | None = None) -> GGUFFile:
        entries = edited_entries(model, list(sets), list(unset), type_name)
        return open_gguf(copy_gguf(model, tmp_path / "copy.gguf", entries)[0])

    return run


def plain(value: Any) -> Any:
    return [plain(item) for item in value] if isinstance(value, Array) else value


def kinds(file: GGUFFile, key: str) -> list[str]:
    """The names of the types from the outside in."""
    found, value = [file.metadata.fields[key].type.name], file.metadata[key]
    while isinstance(value, Array):
        found.append(value.element_type.name)
        value = value[0] if len(value) else None
    return found


def test_no_change_is_the_same_file(edit: Edit, model: GGUFFile) -> None:
    assert edit().path.read_bytes() == model.path.read_bytes()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("general.name", "new", "new"),
        ("general.name", "", ""),
        ("general.name", "a=b", "a=b"),
        ("general.name", "42", "42"),
        ("general.name", "@@home", "@home"),
        ("llama.context_length", "4096", 4096),
        ("llama.context_length", "0x10", 16),
        ("llama.context_length", "007", 7),
        ("llama.rope.freq_base", "500000", 500000.0),
        ("llama.rope.freq_base", "-1e6", -1e6),
        ("flag", "False", False),
        ("signed", "-5", -5),
        ("texts", '["x", "y = 1"]', ["x", "y = 1"]),
        ("texts", "[]", []),
        ("bytes", "[255, 0]", [255, 0]),
        ("nested", "[[5], [6, 7]]", [[5], [6, 7]]),
    ],
)
def test_existing_key_keeps_type_and_place(
    key: str, text: str, value: Any, edit: Edit, model: GGUFFile
) -> None:
    copy = edit(f"{key}={text}")
    assert list(copy.metadata) == list(model.metadata)
    assert plain(copy.metadata[key]) == value
    depth = len(kinds(copy, key))
    assert kinds(copy, key) == kinds(model, key)[:depth]
    for other in set(model.metadata) - {key}:
        assert plain(copy.metadata[other]) == plain(model.metadata[other])
    assert [bytes(t.data) for t in copy.tensors.values()] == [b"v" * 12, b"w" * 32]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0", "UINT32"),
        ("4294967295", "UINT32"),
        ("4294967296", "UINT64"),
        ("18446744073709551615", "UINT64"),
        ("-1", "INT32"),
        ("-2147483649", "INT64"),
        ("1.5", "FLOAT32"),
        ("-1e-5", "FLOAT32"),
        (".5", "FLOAT32"),
        ("true", "BOOL"),
        ("False", "BOOL"),
        ("nan", "STRING"),
        ("1.2.3", "STRING"),
        ("yes", "STRING"),
        ("", "STRING"),
        ("[broken", "STRING"),
        ('{"a": 1}', "STRING"),
        ('["a", "b"]', "ARRAY STRING"),
        ("[1, 2]", "ARRAY UINT32"),
        ("[1, -2]", "ARRAY INT32"),
        ("[1, 4294967296]", "ARRAY UINT64"),
        ("[-1, 4294967296]", "ARRAY INT64"),
        ("[1, 2.5]", "ARRAY FLOAT32"),
        ("[true, false]", "ARRAY BOOL"),
        ("[[1], [-2, 3]]", "ARRAY ARRAY INT32"),
    ],
)
def test_type_of_a_new_key_is_guessed(text: str, kind: str, edit: Edit, model: GGUFFile) -> None:
    copy = edit(f"new={text}")
    assert list(copy.metadata) == [*model.metadata, "new"]
    assert " ".join(kinds(copy, "new")) == kind
    if kind == "STRING":
        assert copy.metadata["new"] == text


@pytest.mark.parametrize(
    ("key", "text", "kind"),
    [
        ("general.version", "1.0", "STRING"),
        ("general.base_model.0.name", "7", "STRING"),
        ("general.license.name", "true", "STRING"),
        ("tokenizer.chat_template.tool", "[1]", "STRING"),
        ("llama.rope.scaling.factor", "8", "FLOAT32"),
        ("llama.attention.layer_norm_rms_epsilon", "1", "FLOAT32"),
        ("gemma2.final_logit_softcapping", "30", "FLOAT32"),
        ("general.file_type", "7", "UINT32"),
        ("general.tags", '["a"]', "ARRAY STRING"),
        ("llama.rope.dimension_count", "64", "UINT32"),
    ],
)
def test_known_keys_have_the_type_engines_ask_for(
    key: str, text: str, kind: str, edit: Edit
) -> None:
    assert " ".join(kinds(edit(f"{key}={text}"), key)) == kind


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("str", [ValueType.STRING]),
        ("String", [ValueType.STRING]),
        ("U8", [ValueType.UINT8]),
        ("uint16", [ValueType.UINT16]),
        ("i64", [ValueType.INT64]),
        ("F32", [ValueType.FLOAT32]),
        ("float64", [ValueType.FLOAT64]),
        ("bool", [ValueType.BOOL]),
        ("arr:u32", [ValueType.ARRAY, ValueType.UINT32]),
        ("ARRAY:STRING", [ValueType.ARRAY, ValueType.STRING]),
        ("arr:arr:i8", [ValueType.ARRAY, ValueType.ARRAY, ValueType.INT8]),
    ],
)
def test_type_names(name: str, expected: list[ValueType]) -> None:
    assert list(parse_type(name)) == expected


@pytest.mark.parametrize("name", ["", "int", "arr", "arr:", "u32:arr", "str:str", "u32 u32", ":"])
def test_unknown_type_name(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown type .* use one of str, bool, u8.*arr:TYPE"):
        parse_type(name)


def test_given_type_replaces_the_old_one(edit: Edit, model: GGUFFile) -> None:
    copy = edit("llama.context_length=8192", "new=5", type_name="u32")
    assert kinds(copy, "llama.context_length") == kinds(copy, "new") == ["UINT32"]
    assert list(copy.metadata) == [*model.metadata, "new"]
    assert kinds(edit("nothing=[[1.5]]", type_name="arr:arr:f64"), "nothing")[-1] == "FLOAT64"
    assert kinds(edit("nothing=[[1]]"), "nothing") == ["ARRAY", "ARRAY", "UINT32"]


def test_value_from_a_file(edit: Edit, tmp_path: Path) -> None:
    template = "{% for m in messages %}\r\n[5]\n"
    (tmp_path / "chat.jinja").write_bytes(template.encode())
    (tmp_path / "number").write_text("12\n")
    (tmp_path / "list").write_text('["x"]')
    copy = edit(
        f"tokenizer.chat_template=@{tmp_path / 'chat.jinja'}",
        f"signed=@{tmp_path / 'number'}",
        f"texts=@{tmp_path / 'list'}",
        f"other=@{tmp_path / 'number'}",
    )
    assert copy.metadata["tokenizer.chat_template"] == template
    assert copy.metadata["signed"] == 12
    assert plain(copy.metadata["texts"]) == ["x"]
    assert copy.metadata["other"] == "12\n"


def test_file_that_cannot_be_read(model: GGUFFile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read none: no such file.* @@ is an @"):
        edited_entries(model, ["general.name=@none"], [])
    (tmp_path / "latin1").write_bytes(b"\xe4")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        edited_entries(model, [f"general.name=@{tmp_path / 'latin1'}"], [])


@pytest.mark.parametrize(
    ("setting", "type_name", "words"),
    [
        ("general.name", None, "write key=value"),
        ("=5", None, "write key=value"),
        ("a\nb=5", None, "cannot be a metadata key"),
        ("signed=2147483648", None, "signed: 2147483648 does not fit in INT32"),
        ("signed=1.5", None, "signed: '1.5' is not a number of type INT32"),
        ("signed=", None, "not a number of type INT32"),
        ("flag=1", None, "flag: '1' is not true or false"),
        ("llama.rope.freq_base=1e39", None, "does not fit in FLOAT32"),
        ("bytes=[256]", None, "bytes: 256 does not fit in UINT8"),
        ("bytes=7", None, "a list in JSON is needed"),
        ("bytes=[1.5]", None, "1.5 is not of type UINT8"),
        ("texts=[1]", None, "a text is needed, not 1"),
        ("nested=[1]", None, "a list in JSON is needed"),
        ("new=[]", None, "give --type arr:TYPE"),
        ('new=[1, "a"]', None, "give --type arr:TYPE"),
        ("new=18446744073709551616", None, "no GGUF type holds numbers as large"),
        ("new=" + "9" * 5000, "u32", "is not a number of type UINT32"),
        ("new=x", "q4", "unknown type 'q4'"),
        ("split.count=2", None, "cannot be set"),
        ("general.name=\ud800", None, "surrogate"),
    ],
)
def test_setting_that_makes_no_sense(
    setting: str, type_name: str | None, words: str, model: GGUFFile
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        edited_entries(model, [setting], [], type_name)
    assert len(str(caught.value)) < 300


def test_unset(edit: Edit, model: GGUFFile) -> None:
    copy = edit("general.name=kept", unset=("flag", "texts"))
    assert list(copy.metadata) == [k for k in model.metadata if k not in ("flag", "texts")]
    assert copy.metadata["general.name"] == "kept"


def test_unset_of_an_unknown_key_names_near_ones(model: GGUFFile) -> None:
    with pytest.raises(UsageError, match=r"no key 'general.nam' .*did you mean general.name\?"):
        edited_entries(model, [], ["general.nam"])
    with pytest.raises(UsageError, match=r"no key 'zzz' to remove$"):
        edited_entries(model, [], ["zzz"])


def test_key_named_twice(model: GGUFFile) -> None:
    with pytest.raises(UsageError, match="name each key once"):
        edited_entries(model, ["flag=true", "flag=false"], [])
    with pytest.raises(UsageError, match="name each key once"):
        edited_entries(model, ["flag=true"], ["flag"])


def test_alignment_moves_the_tensors(edit: Edit, model: GGUFFile) -> None:
    copy = edit("general.alignment=4096")
    assert copy.alignment == 4096
    assert [tensor.offset % 4096 for tensor in copy.tensors.values()] == [0, 0]
    assert [bytes(t.data) for t in copy.tensors.values()] == [b"v" * 12, b"w" * 32]
    assert len(gguf.GGUFReader(copy.path).tensors) == 2
    back = edited_entries(copy, [], ["general.alignment"])
    (again,) = copy_gguf(copy, copy.path.with_name("again.gguf"), back)
    # 4096 values of padding at the end are 32 then, as in the file it all began with.
    assert again.read_bytes() == model.path.read_bytes()


@pytest.mark.parametrize("setting", ["general.alignment=0", "general.alignment=-8"])
def test_alignment_of_no_use(setting: str, model: GGUFFile, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a positive UINT32"):
        copy_gguf(model, tmp_path / "copy.gguf", edited_entries(model, [setting], []))
    assert not (tmp_path / "copy.gguf").exists()


def test_big_endian_model_stays_big_endian(tmp_path: Path, raw_gguf: Raw, raw_text: Raw) -> None:
    keys = [("name", STRING, raw_text("old", ">")), ("n", U32, struct.pack(">I", 5))]
    path = tmp_path / "big.gguf"
    path.write_bytes(raw_gguf(keys, [("w", [1], 0, 0)], b"\x3f\x80\0\0", order=">", version=3))
    file = open_gguf(path)
    entries = edited_entries(file, ["name=new", "more=[1, 2]"], [])
    copy = open_gguf(copy_gguf(file, tmp_path / "copy.gguf", entries)[0])
    assert copy.byte_order == ">"
    assert {key: plain(value) for key, value in copy.metadata.items()} == {
        "name": "new",
        "n": 5,
        "more": [1, 2],
    }
    assert bytes(copy.tensors["w"].data) == b"\x3f\x80\0\0"
    assert gguf.GGUFReader(copy.path).tensors[0].data.tolist() == [1.0]
