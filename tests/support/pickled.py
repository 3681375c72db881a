"""Pickles for the tests, written opcode by opcode: nothing here ever builds or loads what they describe."""

from __future__ import annotations

import struct
import zipfile
from io import BytesIO

MAGIC = 0x1950A86A20F9469CFC6C


def text(value: str) -> bytes:
    """BINUNICODE."""
    body = value.encode()
    return b"X" + struct.pack("<I", len(body)) + body


def number(value: int) -> bytes:
    """BININT, or LONG1 for more than 31 bits."""
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    body = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(body)]) + body


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def row(*parts: bytes) -> bytes:
    """TUPLE."""
    return b"(" + b"".join(parts) + b"t"


def call(module: str, attribute: str, *arguments: bytes) -> bytes:
    """GLOBAL, the arguments, REDUCE."""
    return name(module, attribute) + row(*arguments) + b"R"


def stream(body: bytes, protocol: int = 2) -> bytes:
    """PROTO, the body, STOP."""
    return b"\x80" + bytes([protocol]) + body + b"."


def framed(body: bytes, length: int | None = None) -> bytes:
    """PROTO 4 and one FRAME around body and STOP, its length as given."""
    inner = body + b"."
    return b"\x80\x04\x95" + struct.pack("<Q", len(inner) if length is None else length) + inner


def storage(key: str = "0", numel: int = 4, kind: str = "FloatStorage", legacy: bool = False) -> bytes:
    """BINPERSID of a torch storage."""
    parts = [text("storage"), name("torch", kind), text(key), text("cpu"), number(numel), *([b"N"] if legacy else [])]
    return row(*parts) + b"Q"


def tensor(saved: bytes, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,), offset: int = 0) -> bytes:
    """A call of ``_rebuild_tensor_v2``."""
    hooks = call("collections", "OrderedDict")
    rows = (row(*map(number, size)), row(*map(number, stride)))
    return call("torch._utils", "_rebuild_tensor_v2", saved, number(offset), *rows, b"\x89", hooks)


def state_dict(**tensors: bytes) -> bytes:
    """A dict of tensors."""
    return b"}(" + b"".join(text(key) + value for key, value in tensors.items()) + b"u"


PLAIN = stream(state_dict(weight=tensor(storage())))
EVIL = stream(call("os", "system", text("echo hubclean must not run")))


def torch_zip(pickle: bytes = PLAIN, root: str = "archive", **members: bytes) -> bytes:
    """A torch zip; without members, one storage of 16 bytes. ``__`` in a member's name stands for a slash."""
    body = BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(f"{root}/data.pkl", pickle)
        for member, data in (members or {"data__0": bytes(16), "version": b"3\n"}).items():
            archive.writestr(f"{root}/{member.replace('__', '/')}", data)
    return body.getvalue()


def legacy(
    pickle: bytes | None = None, keys: tuple[str, ...] = ("0",), storages: bytes | None = None, magic: bytes = b""
) -> bytes:
    """A file of torch's legacy format with one storage of four floats."""
    saved = stream(state_dict(weight=tensor(storage(legacy=True)))) if pickle is None else pickle
    system = stream(b"}" + text("little_endian") + b"\x88s")
    listed = stream(b"](" + b"".join(map(text, keys)) + b"e")
    bodies = (number(4)[1:] + bytes(4) + bytes(16)) if storages is None else storages
    return (magic or stream(number(MAGIC))) + stream(number(1001)) + system + saved + listed + bodies
