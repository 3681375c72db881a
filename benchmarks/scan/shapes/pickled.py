"""Pickles of about ``size`` bytes that repeat one opcode or a few, alone, as text, and in a torch zip."""

from __future__ import annotations

import functools
import struct

from benchmarks.scan.shapes import Files, Shape
from support.pickled import legacy, stream, torch_zip

HEAD = b"\x80\x04"


def repeated(unit: bytes, before: bytes, after: bytes, name: str, size: int) -> Files:
    """``unit`` as often as fits, between two ends."""
    return {name: HEAD + before + unit * max(1, size // len(unit)) + after}


def numbered(form: bytes, before: bytes, after: bytes, size: int) -> Files:
    """``form`` with a new number each time; ``%d`` stands for it."""
    return {"a.pkl": HEAD + before + b"".join(form % at for at in range(size // (len(form) + 3))) + after}


def in_zip(shape: Shape, size: int) -> Files:
    """The pickle of another shape as the ``data.pkl`` of a torch zip."""
    (body,) = shape(size).values()
    return {"pytorch_model.bin": torch_zip(body)}


def in_legacy(shape: Shape, size: int) -> Files:
    """The same in the older container."""
    (body,) = shape(size).values()
    return {"pytorch_model.bin": legacy(body)}


def _large(size: int, before: bytes, unit: bytes, text: bool = False) -> Files:
    """A large value that is taken from the memo again and again."""
    half = size // 2
    value = b"X" + struct.pack("<I", half) + b"a" * half if text else b"(" + b"N" * half + b"t"
    return {"a.pkl": HEAD + value + b"q\x000" + before + unit * (half // len(unit)) + b"N."}


def tensors(size: int) -> Files:
    """A true checkpoint of many small tensors."""
    import io

    import torch

    body = io.BytesIO()
    torch.save({f"layer.{at}.weight": torch.zeros(2, 2) for at in range(max(1, size // 400))}, body)
    return {"pytorch_model.bin": body.getvalue()}


def streams(size: int) -> Files:
    """Many pickles one after the other."""
    return {"a.pkl": stream(b"N.") * (size // 5)}


def _same(unit: bytes, before: bytes = b"", after: bytes = b".", name: str = "a.pkl") -> Shape:
    return functools.partial(repeated, unit, before, after, name)


def _each(form: bytes, before: bytes = b"", after: bytes = b".") -> Shape:
    return functools.partial(numbered, form, before, after)


_ONE: dict[str, Shape] = {
    "memoize": _same(b"\x94", b"N"),
    "none": _same(b"N"),
    "marks": _same(b"("),
    "marks and lists": _same(b"(l"),
    "marks and pops": _same(b"(1"),
    "dicts in dicts": _same(b"}K\x01", b"", b"s" * 10 + b"."),
    "nested tuples": _same(b"\x85", b"N"),
    "nested lists": _same(b"]", b"", b"a" * 10 + b"."),
    "dup": _same(b"2", b"N"),
    "dup and tuple": _same(b"2\x86", b"N"),
    "aliases": _same(b"h\x00h\x00\x86q\x00", b"Nq\x00"),
    "appends": _same(b"(NNe", b"]"),
    "append": _same(b"Na", b"]"),
    "setitem": _same(b"NNs", b"}"),
    "additems": _same(b"(N\x90", b"\x8f"),
    "long text": _same(b"x", b"\x8d" + struct.pack("<Q", 1 << 18)),
    "one text": lambda size: {"a.pkl": HEAD + b"X" + struct.pack("<I", size) + b"x" * size + b"."},
    "one long": lambda size: {"a.pkl": HEAD + b"\x8b" + struct.pack("<I", size) + b"x" * size + b"."},
    "longs": _same(b"\x8a\xff" + b"x" * 255 + b"0"),
    "decimal long": lambda size: {"a.pkl": b"L" + b"9" * size + b"L\n."},
    "decimal longs": _same(b"L" + b"9" * 3900 + b"L\n0"),
    "no end of line": lambda size: {"a.pkl": b"S'" + b"x" * size},
    "quoted": lambda size: {"a.pkl": b"S'" + b"\\x41" * (size // 4) + b"'\n."},
    "unicode": lambda size: {"a.pkl": b"V" + b"\\u0041" * (size // 6) + b"\n."},
    "globals": _each(b"cm\nn%d\n0", b"", b"N."),
    "same global": _same(b"cos\nsystem\n0", b"", b"N."),
    "calls": _same(b"cos\nsystem\n)R0", b"", b"N."),
    "stack globals": _same(b"h\x00h\x01\x930", b"\x8c\x02os\x94\x8c\x06system\x94", b"N."),
    "dotted": lambda size: {"a.pkl": HEAD + b"cos\n" + b"a." * (size // 2) + b"b\n."},
    "build": _same(b"}b", b"cm\nN\n)\x81"),
    "reduce of it": _same(b")R", b"cm\nN\n"),
    "newobj": _same(b"cm\nN\n)\x810", b"", b"N."),
    "persistent": _same(b"NQ0", b"", b"N."),
    "memo gets": _same(b"h\x000", b"Nq\x00", b"N."),
    "long memo": _each(b"Np%d\n0", b"", b"N."),
    "frames": _same(b"\x95" + struct.pack("<Q", 1) + b"N", b"", b"."),
    "bad frames": _same(b"\x95" + struct.pack("<Q", 9), b"", b"."),
    "protocols": _same(b"\x80\x04"),
    "inst": _same(b"(im\nn\n0", b"", b"N."),
    "ordered dicts": _same(b"ccollections\nOrderedDict\n)R0", b"", b"N."),
    "bytes in bytes": lambda size: {"a.pkl": HEAD + b"B" + struct.pack("<I", size) + b"\x80\x02N." * (size // 4)},
    "encode": _same(b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00latin1\x86R0", b"", b"N."),
    "large tuple, called": lambda size: _large(size, b"cm\nn\nq\x010", b"h\x01h\x00R0"),
    "large tuple, listed": lambda size: _large(size, b"ccollections\nOrderedDict\nq\x010", b"h\x01h\x00R0"),
    "large tuple, kept": lambda size: _large(size, b"", b"h\x00Q0"),
    "large tuple, set": lambda size: _large(size, b"cm\nN\n)\x81q\x01", b"h\x00b"),
    "large text, named": lambda size: _large(size, b"", b"h\x00h\x00\x930", text=True),
    "large text, a type": lambda size: _large(
        size, b"cnumpy\ndtype\nq\x01h\x00\x89\x88\x87q\x020", b"h\x01h\x02R0", text=True
    ),
    "floats that are none": _same(b"F" + b"1" * 1000 + b"x\n0", b"", b"N."),
    "one float that is none": lambda size: {"a.pkl": b"F" + b"1" * size + b"x\n."},
    "nothing": _same(b"\xff"),
    "sniffed": _same(b"(lp0\n", name="blob"),
    "sniffed, lists": _same(b"]", name="notes.txt"),
}  # fmt: skip
SHAPES: dict[str, Shape] = {
    **{f"pickle, {name}": shape for name, shape in _ONE.items()},
    **{f"torch zip, {name}": functools.partial(in_zip, _ONE[name]) for name in ("memoize", "globals", "aliases")},
    "legacy torch, memoize": functools.partial(in_legacy, _ONE["memoize"]),
    "torch zip, tensors": tensors,
    "pickle, streams": streams,
}
