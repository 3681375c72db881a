"""Containers, graphs and tables of about ``size`` bytes with many members, hostile counts, or much inside little."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

from benchmarks.scan.shapes import Files, Shape
from support.pickled import torch_zip

BLOCK = 512


def zip_members(size: int, name: str = "a.zip", form: str = "member{}", body: bytes = b"") -> Files:
    """A zip of as many members as fit."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for at in range(max(1, size // (100 + 2 * len(form)))):
            archive.writestr(zipfile.ZipInfo(form.format(at)), body)
    return {name: written.getvalue()}


def zip_in_zip(size: int) -> Files:
    """Zips in a zip."""
    inner = torch_zip()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for at in range(max(1, size // len(inner))):
            archive.writestr(zipfile.ZipInfo(f"{at}.zip"), inner)
    return {"a.zip": written.getvalue()}


def zip_bomb(size: int, name: str = "a.zip", member: str = "a.bin") -> Files:
    """One member that unpacks to a thousand times its bytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(size * 20))
    return {name: written.getvalue()}


def zip_signatures(size: int) -> Files:
    """Bytes that look like records of a zip all over."""
    return {"a.zip": b"PK\x01\x02" * (size // 8) + b"PK\x05\x06" * (size // 8)}


def zip_comment(size: int) -> Files:
    """A zip behind other bytes."""
    return {"a.zip": bytes(size) + torch_zip()}


def overlapping(size: int) -> Files:
    """A zip all whose directory entries are the same member."""
    (one,) = zip_members(150, form="m{}", body=b"x" * 20).values()
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    count = min(60_000, size // (end - start))
    entries = one[start:end] * count
    tail = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(entries), start, 0)
    return {"a.zip": one[:start] + entries + tail}


def tar_members(size: int, name: str = "a.tar", packed: bool = False) -> Files:
    """A tar of as many empty members as fit."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for at in range(max(1, size // BLOCK)):
            archive.addfile(tarfile.TarInfo(f"m{at}"))
    body = written.getvalue()
    return {name: gzip.compress(body, 1) if packed else body}


def tar_long_names(size: int) -> Files:
    """A tar whose members' names are extended headers."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for at in range(max(1, size // 2500)):
            archive.addfile(tarfile.TarInfo(f"{at}" + "n" * 500))
    return {"a.tar": written.getvalue()}


def packed_bomb(kind: str, size: int) -> Files:
    """A stream that unpacks to 40 times ``size``."""
    plain = bytes(size * 20)
    body = {"gz": lambda: gzip.compress(plain, 1), "bz2": lambda: bz2.compress(plain, 1), "xz": lambda: lzma.compress(
        plain, preset=0), "z": lambda: zlib.compress(plain, 1)}[kind]()  # fmt: skip
    return {f"a.{kind}": body}


def members_of_gzip(size: int) -> Files:
    """Many gzip streams one after the other."""
    return {"a.gz": gzip.compress(b"x", 1) * (size // 22)}


def safetensors(size: int, form: str = "t{}") -> Files:
    """A header of as many tensors as fit."""
    rows = [f'"{form.format(at)}":{{"dtype":"U8","shape":[1],"data_offsets":[{at},{at + 1}]}}' for at in
            range(size // 64)]  # fmt: skip
    text = ("{" + ",".join(rows) + "}").encode()
    return {"model.safetensors": struct.pack("<Q", len(text)) + text + bytes(len(rows))}


def header_of(size: int, unit: bytes, before: bytes = b"", after: bytes = b"") -> Files:
    """A safetensors header of one unit repeated."""
    text = before + unit * (size // len(unit)) + after
    return {"model.safetensors": struct.pack("<Q", len(text)) + text}


def npy(size: int) -> Files:
    """A NumPy header of many fields."""
    text = repr({"descr": [(f"f{at}", "<f4") for at in range(size // 20)], "fortran_order": False, "shape": (1,)})
    return {"a.npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text.encode()}


def gguf(size: int, kind: str) -> Files:
    """Many keys, many strings in one list, or counts of which nothing is there."""
    head = b"GGUF" + struct.pack("<I", 3)

    def string(text: bytes) -> bytes:
        return struct.pack("<Q", len(text)) + text

    if kind == "keys":
        count = size // 24
        rows = b"".join(string(b"k%d" % at) + struct.pack("<II", 4, at) for at in range(count))
        return {"a.gguf": head + struct.pack("<QQ", 0, count) + rows}
    if kind == "strings":
        count = size // 9
        return {"a.gguf": head + struct.pack("<QQ", 0, 1) + string(b"a") + struct.pack("<IIQ", 9, 8, count) + string(
            b"x") * count}  # fmt: skip
    if kind == "nested":
        return {"a.gguf": head + struct.pack("<QQ", 0, 1) + string(b"a") + struct.pack("<I", 9) + struct.pack(
            "<IQ", 9, 1) * (size // 12)}  # fmt: skip
    if kind == "tensors":
        count = size // 40
        rows = b"".join(string(b"t%d" % at) + struct.pack("<IQIQ", 1, 1, 0, 32 * at) for at in range(count))
        return {"a.gguf": head + struct.pack("<QQ", count, 0) + rows}
    return {"a.gguf": head + struct.pack("<QQ", 1 << 60, 1 << 60) + bytes(size)}


def protobuf(size: int, name: str, unit: bytes, wrap: bytes = b"") -> Files:
    """One field repeated; ``wrap`` puts all in the field of that tag."""
    body = unit * (size // len(unit))
    for tag in reversed(wrap):
        body = bytes([tag]) + _varint(len(body)) + body
    return {name: body}


def nested_protobuf(size: int, name: str, tag: int) -> Files:
    """A field in a field, as deep as fits."""
    body = b""
    for _ in range(min(size // 4, 5000)):
        body = bytes([tag]) + _varint(len(body)) + body
    return {name: b"\x08\x08" + body}


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def tflite(size: int) -> Files:
    """Every table of a list is the same one, whose lists are long, too."""
    count = size // 4
    body = bytearray(struct.pack("<I", 16) + b"TFL3" + bytes(8) + bytes(16))
    vtable = struct.pack("<HHHHHHH", 14, 8, 0, 4, 4, 0, 4)
    body[16:20] = struct.pack("<i", -(len(body) - 16))
    body[20:24] = struct.pack("<I", len(body) + 16 - 20)
    body += vtable + b"\0\0" + struct.pack("<I", count) + struct.pack("<I", 4) * count
    return {"a.tflite": bytes(body)}


def msgpack(size: int, kind: str) -> Files:
    """Arrays in arrays, long arrays, many strings, counts of which nothing is there."""
    bodies = {
        "nested": b"\x91" * size,
        "maps": b"\x81\xa1a" * (size // 3) + b"\xc0",
        "wide": b"\xdd" + struct.pack(">I", size) + b"\xc0" * size,
        "keys": b"\xdf" + struct.pack(">I", size // 7) + b"".join(b"\xa5%05d\xc0" % (at % 100_000) for at in range(
            size // 7)),
        "counts": b"\xdd\xff\xff\xff\xff" * (size // 5),
        "arrays": b"\xdd" + struct.pack(">I", size // 20) + b"\xc7\x12\x01\x93\x91\x01\xa7float32\xc4\x04\0\0\0\0" * (
            size // 20),
    }  # fmt: skip
    return {"flax_model.msgpack": bodies[kind]}


def _header(messages: bytes) -> bytes:
    """An HDF5 object header of version 2; the checksums are not looked at."""
    return b"OHDR\x02\x02" + struct.pack("<I", len(messages)) + messages + bytes(4)


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("<BHB", kind, len(body), 0) + body


def _link(name: bytes, address: int) -> bytes:
    return _message(6, b"\x01\0" + bytes([len(name)]) + name + struct.pack("<Q", address))


def _hdf5(parts: list[bytes], root: int) -> Files:
    body = b"".join(parts)
    none = (1 << 64) - 1
    head = b"\x89HDF\r\n\x1a\n\x02\x08\x08\0" + struct.pack("<4Q", 0, none, 48 + len(body), root) + bytes(4)
    return {"model.h5": head + body}


def hdf5(size: int, kind: str) -> Files:
    """Groups in groups, many links, headers that go on in the same block, attributes in the same tree."""
    if kind == "deep":
        step = len(_header(_link(b"g", 0)))
        return _hdf5([_header(_link(b"g", 48 + step * (at + 1))) for at in range(size // step)] + [_header(b"")], 48)
    if kind == "links":
        links = b"".join(_link(b"%d" % at, 48) for at in range(size // 20))
        return _hdf5([_header(b""), _header(links)], 48 + len(_header(b"")))
    if kind == "shared block":
        block = b"OCHK" + _message(1, b"") * (size // 8) + bytes(4)
        one = _header(_message(0x10, struct.pack("<QQ", 48, len(block))))
    else:  # a B-tree of attributes that many objects name
        records = size // 40
        leaf = b"BTLF\0\x08" + (b"\x20" + bytes(16)) * records + bytes(4)
        tree = 48 + len(leaf)
        top = b"BTHD\0\x08" + struct.pack("<IHHBBQHQ", len(leaf), 17, 0, 0, 0, 48, min(records, 65535), records)
        top += bytes(4)
        heap = b"FRHP\0" + struct.pack("<HHBI", 8, 0, 0, 64) + struct.pack("<QQQQ8Q", 0, 0, 0, 0, *[0] * 8)
        heap += struct.pack("<HQQHHQH", 4, 512, 1024, 16, 0, 0, 0) + bytes(4)
        block = leaf + top + heap
        info = b"\0\0" + struct.pack("<QQ", tree + len(top), tree)
        one = _header(_message(0x15, info))
    count = size // 4 // (len(one) + 20)
    objects = [one] * count
    first = 48 + len(block)
    root = _header(b"".join(_link(b"%d" % at, first + at * len(one)) for at in range(min(count, 19_000))))
    return _hdf5([block, *objects, root], first + len(one) * count)


def tfrecord(size: int) -> Files:
    """Records of no bytes."""
    return {"events.out.tfevents.1": (bytes(16)) * (size // 16)}


def parquet(size: int) -> Files:
    """A schema full of what looks like Arrow's own."""
    body = b"ARROW:schema\x18\x04QUJD" * (size // 18)
    return {"a.parquet": b"PAR1" + body + struct.pack("<I", len(body)) + b"PAR1"}


def script(size: int, unit: str) -> Files:
    """TorchScript of one line repeated."""
    code = f"def f(x):\n{unit * (size // len(unit))}"
    return {"model.pt": torch_zip(code__f=b"", constants=b"") if not code else torch_zip(
        **{"code__a.py": code.encode(), "constants.pkl": b"\x80\x02).", "version": b"3\n"})}  # fmt: skip


def image(size: int, head: bytes, name: str) -> Files:
    """A picture by its first bytes."""
    return {name: head + b"\x80\x02" * (size // 2)}


SHAPES: dict[str, Shape] = {
    "zip, members": zip_members,
    "zip, torch members": functools.partial(zip_members, name="pytorch_model.bin", form="archive/data/{}"),
    "zip, npz members": functools.partial(zip_members, name="a.npz", form="{}.npy"),
    "zip, pickles": functools.partial(zip_members, form="{}.pkl", body=b"\x80\x02N."),
    "zip, keras": functools.partial(zip_members, name="a.keras", form="{}.json", body=b"{}"),
    "zip, same name": functools.partial(zip_members, form="a"),
    "zip, zips": zip_in_zip,
    "zip, bomb": zip_bomb,
    "zip, bomb of text": functools.partial(zip_bomb, member="a.json"),
    "zip, bomb in torch": functools.partial(zip_bomb, name="pytorch_model.bin", member="archive/data.pkl"),
    "zip, signatures": zip_signatures,
    "zip, behind": zip_comment,
    "zip, overlapping": overlapping,
    "tar, members": tar_members,
    "tar, packed": functools.partial(tar_members, name="a.tar.gz", packed=True),
    "tar, long names": tar_long_names,
    **{f"bomb, {kind}": functools.partial(packed_bomb, kind) for kind in ("gz", "bz2", "xz")},
    "gzip, streams": members_of_gzip,
    "safetensors, tensors": safetensors,
    "safetensors, same name": functools.partial(safetensors, form="t"),
    "safetensors, spaces": functools.partial(header_of, unit=b" ", before=b"{}"),
    "safetensors, deep": functools.partial(header_of, unit=b"["),
    "safetensors, string": functools.partial(header_of, unit=b"x", before=b'{"__metadata__":{"a":"', after=b'"}}'),
    "npy, fields": npy,
    "npy, object": lambda size: {"a.npy": b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr':'|O','fortran_order':False,'shape'"
                                 b":(1,)}".ljust(118) + b"\x80\x04N" + b"N" * size + b"."},
    **{f"gguf, {kind}": functools.partial(gguf, kind=kind) for kind in ("keys", "strings", "nested", "tensors",
                                                                        "counts")},
    "onnx, nodes": functools.partial(protobuf, name="a.onnx", unit=b"\x0a\x05\x22\x03Abs", wrap=b"\x3a"),
    "onnx, opsets": functools.partial(protobuf, name="a.onnx", unit=b"\x42\x02\x10\x0d"),
    "onnx, metadata": functools.partial(protobuf, name="a.onnx", unit=b"\x72\x06\x0a\x01a\x12\x01b"),
    "onnx, deep": functools.partial(nested_protobuf, name="a.onnx", tag=0x3A),
    "protobuf, empty": functools.partial(protobuf, name="saved_model.pb", unit=b"\x12\x00"),
    "protobuf, nodes": functools.partial(protobuf, name="frozen.pb", unit=b"\x0a\x08\x0a\x01a\x12\x03Abs"),
    "protobuf, deep": functools.partial(nested_protobuf, name="saved_model.pb", tag=0x12),
    "sentencepiece": functools.partial(protobuf, name="spiece.model", unit=b"\x0a\x08\x0a\x01a\x15\0\0\0\0"),
    "coreml": functools.partial(protobuf, name="a.mlmodel", unit=b"\x0a\x03\x0a\x01a", wrap=b"\xa2"),
    "tflite, one table": tflite,
    **{f"msgpack, {kind}": functools.partial(msgpack, kind=kind) for kind in ("nested", "maps", "wide", "keys",
                                                                              "counts", "arrays")},
    **{f"hdf5, {kind}": functools.partial(hdf5, kind=kind) for kind in ("deep", "links", "shared block",
                                                                        "shared tree")},
    "tfrecord": tfrecord,
    "parquet": parquet,
    "torchscript, calls": functools.partial(script, unit="  a = torch.b(x)\n"),
    "torchscript, quotes": functools.partial(script, unit='"\\'),
    "torchscript, spaces": functools.partial(script, unit=" "),
    "torchscript, colons": functools.partial(script, unit="a::"),
    "image": functools.partial(image, head=b"\x89PNG\r\n\x1a\n", name="a.png"),
    "unknown bytes": functools.partial(image, head=b"\x01\x02\x03", name="blob"),
}  # fmt: skip
