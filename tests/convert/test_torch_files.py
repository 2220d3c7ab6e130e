"""Files of torch.save read back: by what torch itself wrote, and by hand-made bad ones."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zigllm_cli.convert.torch import is_torch_file, read_plain_pickle, read_torch, tensors_of
from zigllm_cli.errors import InputError, ZigllmError

FORMATS = [True, False]


@pytest.fixture(params=FORMATS, ids=["zip", "legacy"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Save with torch, read without."""
    import torch

    def save(value: Any) -> Any:
        path = tmp_path / "saved.pt"
        torch.save(value, path, _use_new_zipfile_serialization=request.param)
        assert is_torch_file(path)
        return read_torch(path)

    return save


@pytest.mark.oracle
def test_types_and_views(saved: Any) -> None:
    import torch

    torch.manual_seed(1)
    base = torch.randn(7, 5, 3)
    tied = torch.randn(4, 6)
    dtypes = [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
    ]
    value = {
        **{name: (base * 9).to(getattr(torch, name)) for name in dtypes},
        "bool": base > 0,
        "transposed": base.permute(2, 0, 1),
        "part": base[2:5, ::2, 1],
        "tied.1": tied,
        "tied.2": tied,
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(tied.t()),
    }
    tensors = tensors_of(saved(value))
    assert list(tensors) == list(value)
    for name, tensor in tensors.items():
        wanted, found = value[name].detach(), tensor.numpy()
        if wanted.dtype is torch.bfloat16:
            wanted = wanted.view(torch.int16)
        np.testing.assert_array_equal(found.view(wanted.numpy().dtype), wanted.numpy())
    assert tensors["tied.1"].storage is tensors["tied.2"].storage


@pytest.mark.oracle
def test_eight_bit_floats_and_big_endian(tmp_path: Path) -> None:
    import torch

    value = {"a": torch.randn(3, 4).to(torch.float8_e4m3fn), "b": torch.randn(5)}
    torch.save(value, tmp_path / "a.pt")
    tensors = tensors_of(read_torch(tmp_path / "a.pt"))
    assert tensors["a"].type == "F8_E4M3"
    np.testing.assert_array_equal(tensors["a"].numpy(), value["a"].view(torch.uint8).numpy())
    swapped = rewrite(
        tmp_path / "a.pt",
        lambda name, data: (
            b"big"
            if name.endswith("byteorder")
            else np.frombuffer(data, "<f4").astype(">f4").tobytes()
            if name.endswith("data/1")
            else data
        ),
    )
    np.testing.assert_array_equal(tensors_of(read_torch(swapped))["b"].numpy(), value["b"].numpy())


@pytest.mark.oracle
def test_modules_and_training_states(saved: Any) -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    value = saved(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "model_args": {"n_layer": 2, "bias": False, "dropout": 0.0, "name": None},
            "best": torch.tensor(1.5),
            "betas": (0.9, 0.95),
            "rng": torch.get_rng_state(),
        }
    )
    assert value["model_args"] == {"n_layer": 2, "bias": False, "dropout": 0.0, "name": None}
    assert value["betas"] == (0.9, 0.95)
    assert value["optimizer"]["state"][0]["exp_avg"].shape == (8, 4)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(value["model"][name].numpy(), tensor.numpy())


# ------------------------------------------------------------------ files made by hand


def archive(
    path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, **options: Any
) -> Path:
    """A zip file of torch's layout."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/byteorder", b"little")
        for key, data in (storages or {}).items():
            file.writestr(f"archive/data/{key}", data)
    return path


def rewrite(path: Path, change: Any) -> Path:
    """The same archive with other bytes in its entries."""
    new = path.with_name("rewritten.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as file:
        for name in old.namelist():
            file.writestr(name, change(name, old.read(name)))
    return new


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def storage(kind: str = "FloatStorage", key: str = "0", count: int = 4) -> bytes:
    return (
        b"("
        + text("storage")
        + f"ctorch\n{kind}\n".encode()
        + text(key)
        + text("cpu")
        + number(count)
        + b"tQ"
    )


def tensor(
    shape: tuple[int, ...] = (2, 2), strides: tuple[int, ...] = (2, 1), offset: int = 0, **of: Any
) -> bytes:
    sizes = b"".join(b"(" + b"".join(map(number, x)) + b"t" for x in (shape, strides))
    rest = b"\x89ccollections\nOrderedDict\n)R"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return call + storage(**of) + number(offset) + sizes + rest + b"tR"


def program(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


def test_a_file_made_by_hand(tmp_path: Path) -> None:
    values = np.arange(4, dtype="<f4")
    pickled = program(b"}", text("w"), tensor(strides=(1, 2)), b"s")
    found = tensors_of(read_torch(archive(tmp_path / "a.pt", pickled, {"0": values.tobytes()})))
    np.testing.assert_array_equal(found["w"].numpy(), values.reshape(2, 2).T)


class Runs:
    """Pickles to a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "system"),
        (eval, "eval"),
        (getattr, "getattr"),
        (exec, "exec"),
        (__import__, "__import__"),
    ],
    ids=["system", "eval", "getattr", "exec", "import"],
)
def test_calls_are_refused_by_name(function: Any, name: str, protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    argument = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    value = {"weights": [1, 2], "more": ({"a": Runs(function, argument)},)}
    pickled = pickle.dumps(value, protocol)
    for path in (archive(tmp_path / "a.pt", pickled), tmp_path / "a.pkl"):
        if path.suffix == ".pkl":
            path.write_bytes(pickled)
            with pytest.raises(InputError, match=rf"{name}.*nothing of it was run"):
                read_plain_pickle(path)
        else:
            with pytest.raises(InputError, match=rf"{name}.*nothing of it was run"):
                read_torch(path)
    assert not trace.exists()


MEMO = b"q\x01"
BAD_PROGRAMS = {
    "name behind the memo": program(b"cos\nsystem\n", MEMO, b"0h\x01", text("true"), b"\x85R"),
    "name from texts": program(text("os"), text("system"), b"\x93", text("true"), b"\x85R"),
    "nested name": program(text("torch"), text("Tensor.__class__"), b"\x93"),
    "nested module": program(b"ctorch._utils.os\nsystem\n"),
    "INST": program(b"(", text("true"), b"ios\nsystem\n"),
    "OBJ": program(b"(cos\nsystem\n", text("true"), b"o"),
    "NEWOBJ": program(b"ccollections\nOrderedDict\n)\x81"),
    "NEWOBJ_EX": program(b"ccollections\nOrderedDict\n)}\x92"),
    "extension registry": program(b"\x82\x01"),
    "call of a text": program(text("os.system"), text("true"), b"\x85R"),
    "call of a tensor": program(tensor(), b")R"),
    "call of a type": program(b"ctorch\nFloatStorage\n)R"),
    "attributes of a name": program(
        b"ctorch._utils\n_rebuild_tensor_v2\n}", text("__defaults__"), b")sb"
    ),
    "attributes of a tensor": program(tensor(), b"}", text("offset"), number(9), b"sb"),
    "slots of a tensor": program(tensor(), b"N}", text("offset"), number(9), b"s\x86b"),
    "attributes of a list": program(b"]}b"),
    "memo before it is filled": program(b"h\x07"),
    "huge memo": program(b"]r\xff\xff\xff\xff" * 9, b"j\xff\xff\xff\xfe"),
    "huge text": program(b"\x8d" + b"\xff" * 7 + b"\x7f"),
    "huge bytes": program(b"\x8e" + b"\xff" * 7 + b"\x7f"),
    "huge bytearray": program(b"\x96" + b"\xff" * 7 + b"\x7f"),
    "huge number": program(b"\x8b\xff\xff\xff\x7f"),
    "long decimal": program(b"L" + b"9" * 100_000 + b"L\n"),
    "deep tuple": program(b")" + b"\x85" * 100_000, b"\x85"),
    "doubled tuple as a key": program(b"})" + b"2\x86" * 60, b"Ns"),
    "a list copied again and again": program(
        b"]q\x01(" + (text("k") + b"N\x86") * 3000 + b"e",
        b"(" + b"ccollections\nOrderedDict\nh\x01\x85R" * 3000 + b"l",
    ),
    "a list as a shape": program(
        *(b"ctorch._utils\n_rebuild_tensor_v2\n(", storage(), number(0), b"]]tR")
    ),
    "list as a key": program(b"}]Ns"),
    "dictionary of a text": program(text("a"), text("b"), text("c"), b"s"),
    "mark as a value": program(b"(\x85"),
    "no mark": program(b"t"),
    "nothing": program(),
    "too much": program(b"NN"),
    "cut": program(b"N")[:-1],
    "no opcode": program(b"\xff"),
    "no storage": program(b"Nt", b"Q"),
    "persistent text": program(b"Pstorage\n"),
    "storage without a type": program(storage("Size")),
    "storage with a huge size": program(storage(count=1 << 62)),
    "storage of another size": program(storage(count=5)),
    "missing storage": program(storage(key="1")),
    "storage in another folder": program(storage(key="../byteorder", count=6)),
    "two sizes for one storage": program(storage(), b"0", storage(count=2)),
    "two types for one storage": program(storage(), b"0", storage("IntStorage")),
    "beyond the storage": program(tensor((2, 3), (3, 1))),
    "offset beyond the storage": program(tensor(offset=1)),
    "negative offset": program(tensor(offset=-1)),
    "negative stride": program(tensor(strides=(-1, 1), offset=2)),
    "repeated values": program(tensor((1 << 40,), (0,))),
    "overflowing shape": program(tensor((1 << 59, 1 << 59), (0, 0))),
    "fewer strides": program(tensor((2, 2), (1,))),
    "many dimensions": program(tensor((1,) * 99, (1,) * 99)),
}


@pytest.mark.parametrize("name", BAD_PROGRAMS)
def test_bad_pickles_are_one_sentence(name: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pt", BAD_PROGRAMS[name], {"0": bytes(16)})
    with pytest.raises(InputError) as caught:
        read_torch(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert str(path) in str(caught.value)


def test_bad_archives(tmp_path: Path) -> None:
    pickled = program(b"}", text("w"), tensor(), b"s")
    good = archive(tmp_path / "good.pt", pickled, {"0": bytes(16)}).read_bytes()
    bad = tmp_path / "bad.pt"

    archive(bad, pickled, {"0": bytes(16)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed"):
        read_torch(bad)
    with zipfile.ZipFile(bad, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("archive/data.pkl", pickled)
    with pytest.raises(InputError, match="twice"):
        read_torch(bad)
    with zipfile.ZipFile(bad, "w") as file:
        file.writestr("model.onnx", b"")
    with pytest.raises(InputError, match=r"data\.pkl"):
        read_torch(bad)
    place = good.rindex(b"archive/data/0")
    for what, change in {
        "another name": (place, b"archive/data/1"),
        "overlaps": (place - 4, struct.pack("<I", good.index(b"PK\x03\x04", 4))),
        "lies about its size": (place - 26, struct.pack("<II", 1 << 20, 1 << 20)),
        "is cut": (len(good) - 30, b""),
        "wants another unzip": (good.index(b"PK\x01\x02") + 6, b"\xff"),
    }.items():
        start, data = change
        end = start + len(data) if data else len(good)
        bad.write_bytes(good[:start] + data + good[end:])
        with pytest.raises(InputError):
            print(what, read_torch(bad))


def test_what_is_no_torch_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for data in (b"", b"x", b"PK\x03\x04", pickle.dumps({"a": 1}), pickle.dumps(5) * 6):
        path.write_bytes(data)
        with pytest.raises(InputError, match=str(path)):
            read_torch(path)
    with pytest.raises(InputError, match="no such file"):
        read_torch(tmp_path / "missing.pt")


def test_legacy_files_cut_anywhere(tmp_path: Path) -> None:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    start = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, system))
    value = program(b"}", text("w"), tensor(), b"s")
    end = pickle.dumps(["0"], 2) + struct.pack("<q", 4) + np.arange(4, dtype="<f4").tobytes()
    path, whole = tmp_path / "a.pth", start + value + end
    path.write_bytes(whole)
    np.testing.assert_array_equal(tensors_of(read_torch(path))["w"].numpy(), [[0, 1], [2, 3]])
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError):
            read_torch(path)


def test_plain_pickles(tmp_path: Path) -> None:
    meta = {"vocab_size": 3, "itos": {0: "\n", 1: "é", 2: "z"}, "stoi": {"\n": 0, "é": 1, "z": 2}}
    for protocol in range(6):
        (tmp_path / "meta.pkl").write_bytes(pickle.dumps(meta, protocol))
        assert read_plain_pickle(tmp_path / "meta.pkl") == meta
    values = [set("ab"), (1, (2.5, -(2**70))), [True, None], b"bytes", {"a": [1, {"b": ()}]}]
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(values, 4))
    assert read_plain_pickle(tmp_path / "meta.pkl") == values


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=60), st.integers(0, 200), st.booleans())
def test_random_damage_is_an_error_or_a_value(
    tmp_path: Path, noise: bytes, place: int, as_program: bool
) -> None:
    good = program(b"}", text("w"), tensor(), b"s")
    pickled = noise + b"." if as_program else good[:place] + noise + good[place + len(noise) :]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", pickled)
        made.writestr("archive/data/0", bytes(16))
    (tmp_path / "a.pt").write_bytes(file.getvalue())
    try:
        for found in tensors_of(read_torch(tmp_path / "a.pt")).values():
            assert found.numpy().size <= 4
    except ZigllmError:
        pass
