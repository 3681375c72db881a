"""Pickles, opcode by opcode; torch's zip and legacy formats around them. Bytes are put together, nothing is loaded."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

STOP, REDUCE, POP, MARK, TUPLE, BUILD, STACK_GLOBAL = b".", b"R", b"0", b"(", b"t", b"b", b"\x93"
EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE, SETITEMS, APPENDS, NONE = b"}", b"]", b")", b"u", b"e", b"N"
MAGIC = 0x1950A86A20F9469CFC6C


def text(value: str) -> bytes:
    """BINUNICODE."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    """BININT1, BININT2, BININT or LONG1."""
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if 0 <= value < 65536:
        return b"M" + struct.pack("<H", value)
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def raw(data: bytes) -> bytes:
    """BINBYTES, of protocol 3 and later."""
    return b"B" + struct.pack("<I", len(data)) + data


def name(module: str, qualified: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{qualified}\n".encode()


def stacked(module: str, qualified: str) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(qualified) + STACK_GLOBAL


def group(*values: bytes) -> bytes:
    """A tuple, by MARK and TUPLE."""
    return MARK + b"".join(values) + TUPLE


def call(function: bytes, *values: bytes) -> bytes:
    """What is called, its arguments, REDUCE."""
    return function + group(*values) + REDUCE


def table(**values: bytes) -> bytes:
    """A dict with text keys."""
    return EMPTY_DICT + MARK + b"".join(text(key) + value for key, value in values.items()) + SETITEMS


def whole(body: bytes, protocol: int = 2) -> bytes:
    """PROTO, body, STOP; protocol 0 has no PROTO."""
    return (b"\x80" + bytes([protocol]) if protocol >= 2 else b"") + body + STOP


SYSTEM = call(name("os", "system"), text("true"))
EVIL = whole(SYSTEM)


def tensor(key: str, shape: tuple[int, ...] = (2, 3), storage: str = "FloatStorage", view: bytes = b"") -> bytes:
    """A call of ``torch._utils._rebuild_tensor_v2`` on a storage by persistent id, as ``torch.save`` writes it."""
    count, strides = 1, []
    for side in reversed(shape):
        strides.append(count)
        count *= side
    saved = group(text("storage"), name("torch", storage), text(key), text("cpu"), number(count), view) + b"Q"
    hooks = call(name("collections", "OrderedDict"))
    sides, steps = group(*map(number, shape)), group(*map(number, reversed(strides)))
    return call(name("torch._utils", "_rebuild_tensor_v2"), saved, number(0), sides, steps, b"\x89", hooks)


def state_dict(**tensors: bytes) -> bytes:
    """The body of an OrderedDict of tensors; keys are written with ``__`` for a dot."""
    rows = b"".join(text(key.replace("__", ".")) + value for key, value in tensors.items())
    return call(name("collections", "OrderedDict")) + MARK + rows + SETITEMS


WEIGHTS = state_dict(classifier__weight=tensor("0"), classifier__bias=tensor("1", (2,)))
OLD_WEIGHTS = state_dict(classifier__weight=tensor("0", view=NONE), classifier__bias=tensor("1", (2,), view=NONE))
STORAGES = {"0": bytes(24), "1": bytes(8)}


def torch_zip(
    body: bytes,
    members: Mapping[str, bytes] | None = None,
    root: str = "archive",
    storages: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """A file of ``torch.save``: ``body`` becomes ``data.pkl``; ``members`` are put below the root."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        held = {"data.pkl": whole(body), "byteorder": b"little"}
        held |= {f"data/{key}": data for key, data in (STORAGES if storages is None else storages).items()}
        for path, data in (held | {"version": b"3\n"} | dict(members or {})).items():
            archive.writestr(zipfile.ZipInfo(f"{root}/{path}"), data, compression)
    return out.getvalue()


def legacy(
    body: bytes = OLD_WEIGHTS,
    info: bytes = table(
        protocol_version=number(1001), little_endian=b"\x88", type_sizes=table(short=number(2), int=number(4))
    ),
    keys: bytes = EMPTY_LIST + MARK + text("0") + text("1") + APPENDS,
) -> bytes:
    """torch's format before 1.6: magic, protocol, machine, object, storage keys, storages."""
    pickles = (number(MAGIC), number(1001), info, body, keys)
    storages = b"".join(struct.pack("<q", len(data) // 4) + data for data in STORAGES.values())
    return b"".join(map(whole, pickles)) + storages


def dtype(kind: str = "f4", order: str = "<") -> bytes:
    """A numpy dtype with its state, as numpy pickles it."""
    state = (number(3), text(order), NONE, NONE, NONE, number(-1), number(-1), number(0 if order == "<" else 63))
    return call(name("numpy", "dtype"), text(kind), b"\x89", b"\x88") + group(*state) + BUILD


def joblib_array(
    data: bytes, shape: tuple[int, ...], kind: bytes, alignment: int | None = 16, padding: int = 0
) -> bytes:
    """joblib's array wrapper with its bytes in the middle of the stream: a length, that many of padding, the bytes.

    Without an alignment (joblib before 1.2) the bytes follow at once.
    """
    state = table(
        subclass=name("numpy", "ndarray"),
        shape=group(*map(number, shape)),
        order=text("C"),
        dtype=kind,
        allow_mmap=b"\x88",
        **({} if alignment is None else {"numpy_array_alignment_bytes": number(alignment)}),
    )
    front = b"" if alignment is None else bytes([padding]) + b"\xff" * padding
    return name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81" + state + BUILD + front + data
