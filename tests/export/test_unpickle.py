"""Pickles that want to run code, or to exhaust the machine, are refused and nothing runs."""

import builtins
import contextlib
import io
import marshal
import os
import pickle
import pickletools
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import GOLDEN

from nonesuch.errors import CheckpointError, UnsafeCheckpoint
from nonesuch_export.checkpoint import nvlabs, read, tensors
from nonesuch_export.checkpoint.source import Bounded
from nonesuch_export.checkpoint.unpickle import load

_CODE = compile("1 + 1", "code", "eval")


class Calls:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._call = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def _storage(*, first: bytes | None = None) -> bytes:
    """A nested torch storage of 0, 1, 2, 3; `first` replaces the first of its pickles."""
    opcodes = pickletools.genops(pickle.dumps(torch.arange(4.0)))
    whole: bytes = next(arg for _, arg, _ in opcodes if isinstance(arg, bytes))
    return whole if first is None else first + whole[whole.index(b".") + 1 :]


def _attacks(mark: Path) -> dict[str, bytes]:
    """Files that would create `mark` if anything of them ran."""
    touch = f"touch {mark}"
    script = f"open({str(mark)!r}, 'w')"
    inner = _storage(first=pickle.dumps(Calls(os.system, touch)))
    nested = Calls(torch.storage._load_from_bytes, inner)
    attacks = {
        "os.system": pickle.dumps({"G_ema": Calls(os.system, touch)}),
        "builtins.eval": pickle.dumps(Calls(eval, script), protocol=2),
        "builtins.exec of a code object": pickle.dumps(Calls(exec, script)),
        "builtins.getattr": b"\x80\x04cbuiltins\ngetattr\n.",
        "a code object": b"\x80\x02ctypes\nCodeType\n(tR.",
        "marshalled code": pickle.dumps(Calls(marshal.loads, marshal.dumps(_CODE))),
        "storage with a pickle inside": pickle.dumps({"G_ema": nested}),
        "instance opcode": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "object opcode": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
        "name with dots": b"\x80\x04\x8c\x05torch\x8c\x10_utils.os.system\x93.",
        "extension registry": b"\x80\x02\x82\x01.",
    }
    return {n: blob if blob[:1] == b"\x80" else b"\x80\x02" + blob for n, blob in attacks.items()}


def test_no_attack_runs_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    attacks = _attacks(mark)
    imported: list[str] = []
    real = builtins.__import__

    def noted(name: str, *args: Any, **kwargs: Any) -> Any:
        imported.append(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", noted)
    before = set(sys.modules)

    for name, blob in attacks.items():
        path = tmp_path / "attack.pkl"
        path.write_bytes(blob)
        with pytest.raises(UnsafeCheckpoint, match="pickle"):
            read(path)
        assert not mark.exists(), name

    assert set(sys.modules) == before
    assert not {"os", "posix", "builtins"} & set(imported)


def test_the_attacks_would_work_on_an_ordinary_unpickler(tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    pickle.loads(_attacks(mark)["os.system"])

    assert mark.exists()


def test_the_refused_name_is_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "attack.pkl"
    path.write_bytes(pickle.dumps(Calls(os.system, "true")))

    with pytest.raises(UnsafeCheckpoint, match=r"attack.pkl: the pickle names \w+.system, which"):
        read(path)


def test_source_text_in_a_checkpoint_is_passed_over() -> None:
    read(GOLDEN / "sg2_uncond_64.pkl")  # its modules carry module_src

    assert not any(name.startswith(("torch_utils", "dnnlib")) for name in sys.modules)


_PAIRS = b"".join(b"M" + struct.pack("<H", i) * 1 + b"N" for i in range(2000))
_TEXT = b"X" + struct.pack("<I", 2_000_000) + b"x" * 2_000_000


def _copies(name: bytes, value: bytes) -> bytes:
    """A call of `name` with the same value 5,000 times, all results kept."""
    call = b"h\x00h\x01\x85R"
    return b"\x80\x02" + name + b"q\x00" + value + b"q\x01](" + call * 5000 + b"e."


_COLLIDING = b"".join(  # numbers that all have the hash 0
    b"\x8a\x0b" + (k * (2**61 - 1)).to_bytes(11, "little") + b"N" for k in range(1, 20_000)
)
_LARGE = b"\x8a\xff" + b"\x7f" * 255  # a number of 255 bytes
_STORED = (  # a nested storage, and the name that makes it
    b"ctorch.storage\n_load_from_bytes\n",
    b"B" + struct.pack("<I", len(_storage())) + _storage() + b"\x85",
)


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"\x80\x02}(" + _COLLIDING + b"u.", id="keys of one hash"),
        pytest.param(
            b"\x80\x02ccollections\nOrderedDict\n](" + b")" + b"\x85" * 60_000 + b"N\x86e\x85R.",
            id="deep key by name",
        ),
        pytest.param(
            b"\x80\x04)\x94" + b"h\x00h\x00\x86q\x00" * 40 + b"h\x00\x93.", id="name of 2⁴⁰ parts"
        ),
        pytest.param(
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
            + b"".join(_STORED)
            + b"RK\x00("
            + _LARGE
            + b"q\x00"
            + b"h\x00" * 30_000
            + b"tq\x01h\x01tR.",
            id="tensor of countless axes",
        ),
        pytest.param(
            b"\x80\x02" + b"q\x00".join(_STORED) + b"q\x01](" + b"h\x00h\x01R" * 10_000 + b"e.",
            id="one storage over and over",
        ),
        pytest.param(b"\x80\x02Nr\xff\xff\xff\x7f.", id="memo index of two thousand million"),
        pytest.param(b"\x80\x04B" + struct.pack("<I", 2**31) + b"x.", id="2 GiB announced"),
        pytest.param(
            b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.", id="an exbibyte announced"
        ),
        pytest.param(b"\x80\x02" + b"(" * 10_000 + b"t" * 9_000 + b".", id="deep nesting"),
        pytest.param(b"\x80\x02}]Ns.", id="unhashable key"),
        pytest.param(b"\x80\x02NNb.", id="state for nothing"),
        pytest.param(b"\x80\x02N\x85\x85", id="no end"),
        pytest.param(b"\x80\x02.", id="nothing on the stack"),
        pytest.param(b"\x80\x02]" + b"2\x86" * 40 + b"}q\x00h\x000s.", id="key of 2⁴⁰ parts"),
        pytest.param(b"\x80\x02)" + b"\x85" * 200_000 + b"q\x00}h\x00Ns.", id="deep key"),
        pytest.param(_copies(b"ccollections\nOrderedDict\n", b"}(" + _PAIRS + b"u"), id="dicts"),
        pytest.param(_copies(b"c__builtin__\nset\n", b"](" + _PAIRS + b"e"), id="sets"),
        pytest.param(_copies(b"c_codecs\nencode\n", _TEXT), id="texts"),
        pytest.param(b"\x80\x02" + b"N0" * 400_000 + b"N.", id="steps without end"),
    ],
)
def test_a_small_file_cannot_exhaust_the_machine(blob: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            nvlabs.convert(load(Bounded(blob), nvlabs.NAMES))
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()


def test_arrays_are_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    path.write_bytes(pickle.dumps(torch.arange(1_000_000.0), protocol=4))
    tracemalloc.start()

    with path.open("rb") as stream:
        found = load(Bounded(stream), nvlabs.NAMES)

    assert tracemalloc.get_traced_memory()[1] < 400_000
    tracemalloc.stop()
    assert not found.flags.writeable
    assert (found == np.arange(1_000_000)).all()


def test_words_of_a_file_cannot_steer_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "attack.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05a\x1b[2J\x8c\x01b\x93.")

    with pytest.raises(UnsafeCheckpoint, match=r"names a\\x1b\[2J.b, which"):
        read(path)


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_value_or_in_our_error(blob: bytes) -> None:
    with contextlib.suppress(CheckpointError):
        load(Bounded(io.BytesIO(b"\x80\x04" + blob)), {})


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False)
    | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)  # fmt: skip


@given(_PLAIN, st.integers(2, 5))
def test_plain_data_reads_as_pickle_reads_it(value: Any, protocol: int) -> None:
    if protocol == 2:
        value = _without_bytes(value)

    assert load(Bounded(io.BytesIO(pickle.dumps(value, protocol))), {}) == value


def _without_bytes(value: Any) -> Any:
    """Protocol 2 writes bytes as a call, which plain data does not need."""
    match value:
        case bytes():
            return len(value)
        case list():
            return [_without_bytes(v) for v in value]
        case tuple():
            return tuple(_without_bytes(v) for v in value)
        case dict():
            return {k: _without_bytes(v) for k, v in value.items()}
    return value


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_checkpoint_with_flipped_bytes_is_read_or_refused(data: st.DataObject) -> None:
    blob = bytearray(_GOLDEN_BLOB)
    for place in data.draw(st.lists(st.integers(0, len(blob) - 1), min_size=1, max_size=8)):
        blob[place] = data.draw(st.integers(0, 255))

    with contextlib.suppress(CheckpointError):
        nvlabs.convert(load(Bounded(bytes(blob)), nvlabs.NAMES))


_GOLDEN_BLOB = (GOLDEN / "sg2ada_uncond_32.pkl").read_bytes()


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        pytest.param(0, (2, 4), (4, 1), id="beyond the end"),
        pytest.param(-1, (2,), (1,), id="before the start"),
        pytest.param(0, (2,), (-1,), id="backwards"),
        pytest.param(0, (1000, 1000), (0, 0), id="repeated"),
        pytest.param(0, (2, 2), (1,), id="too few strides"),
        pytest.param(0, ("2",), (1,), id="no number"),
    ],
)
def test_views_outside_their_storage_are_refused(offset: Any, size: Any, stride: Any) -> None:
    elements = tensors.storage(_storage())

    with pytest.raises(CheckpointError, match="a tensor"):
        tensors.tensor(elements, offset, size, stride)


def test_a_view_of_a_view_is_refused() -> None:
    """One with stride 0 would look longer than its memory to the next."""
    storage = tensors.storage(_storage())
    inner = tensors.tensor(storage, 3, (4,), (0,))

    with pytest.raises(CheckpointError, match="no view of a storage"):
        tensors.tensor(inner, 0, (4,), (1,))  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", [0, 1])
def test_old_protocols_are_refused_by_the_name_that_they_call(
    tmp_path: Path, protocol: int
) -> None:
    path = tmp_path / "old.pkl"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {tmp_path / 'ran'}"), protocol))

    with pytest.raises(UnsafeCheckpoint, match=r"\w+\.system"):
        read(path)

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.int64])
def test_storages_of_other_types_are_read(dtype: torch.dtype) -> None:
    value = torch.arange(6).reshape(2, 3).to(dtype)

    found = load(Bounded(io.BytesIO(pickle.dumps(value))), nvlabs.NAMES)

    assert (found == value.numpy()).all()
