"""Hostile pickles and torch files of our own making, by what is odd about them; nothing here loads one."""

from __future__ import annotations

import struct

from support.pickled import (
    EVIL,
    PLAIN,
    call,
    legacy,
    name,
    number,
    row,
    state_dict,
    storage,
    stream,
    tensor,
    text,
    torch_zip,
)

SYSTEM = call("os", "system", text("echo hubclean must not run"))
Files = dict[str, bytes]


def short(body: bytes) -> bytes:
    """BINBYTES."""
    return b"B" + struct.pack("<I", len(body)) + body


def rebuilt(function: bytes, *arguments: bytes, state: bytes = b"N") -> bytes:
    return stream(
        call("torch._tensor", "_rebuild_from_type_v2", function, name("torch", "Tensor"), row(*arguments), state)
    )


def built(made: bytes, state: bytes) -> bytes:
    return stream(state_dict(weight=made + state + b"b"))


def attributes(**values: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in values.items()) + b"u"


def sparse(index: int, size: int = 2, layout: str = "torch.sparse_coo") -> bytes:
    """A torch zip of one sparse tensor whose first index is as given."""
    indices = tensor(storage("0", 2, "LongStorage"), (1, 2), (2, 1))
    data = row(indices, tensor(storage("1", 2), (2,)), call("torch", "Size", row(number(size))))
    body = call(
        "torch._utils", "_rebuild_sparse_tensor", call("torch.serialization", "_get_layout", text(layout)), data
    )
    return torch_zip(stream(body), data__0=struct.pack("<2q", 0, index), data__1=bytes(8), version=b"3\n")


def pickles() -> Files:
    """Raw pickles and torch's formats."""
    range_ = call("builtins", "range", number(1 << 40))
    weight = tensor(storage())
    view = (storage(), number(0), row(number(4)), row(number(1)), b"\x89", b"}")
    parameter = call("torch._utils", "_rebuild_parameter", weight, b"\x88", call("collections", "OrderedDict"))
    latin = call("_codecs", "encode", text(EVIL.decode("latin-1")), text("latin1"))
    cases = {
        "system": EVIL,
        "inst": b"(S'id'\nios\nsystem\n.",
        "obj": b"(" + name("os", "system") + text("id") + b"o.",
        "newobj": stream(name("subprocess", "Popen") + row(text("id")) + b"\x81"),
        "newobj_ex": stream(name("subprocess", "Popen") + row(text("id")) + b"}\x92", 4),
        "stack_global": stream(text("os") + text("system") + b"\x93" + row(text("id")) + b"R", 4),
        "memoized name": stream(text("os") + b"q\x010h\x01" + text("system") + b"\x93" + row(text("id")) + b"R", 4),
        "dotted": stream(text("os") + text("path.os.system") + b"\x93" + row(text("id")) + b"R", 4),
        "getattr chain": stream(call("builtins", "getattr", name("os", "path"), text("os")) + b")R"),
        "attrgetter": stream(call("operator", "attrgetter", text("system")) + row(name("os", "path")) + b"R"),
        "methodcaller": stream(call("operator", "methodcaller", text("system"), text("id")) + row(b"N") + b"R"),
        "partial": stream(call("functools", "partial", name("os", "system"), text("id")) + b")R"),
        "reduce": stream(call("functools", "reduce", name("builtins", "getattr"), row(b"N"))),
        "map": stream(call("builtins", "list", call("builtins", "map", name("os", "system"), row(text("id"))))),
        "defaultdict of system": stream(call("collections", "defaultdict", name("os", "getcwd"))),
        "build setattr": stream(name("os", "environ") + b"}" + text("X") + text("y") + b"sb"),
        "build of a function": stream(name("torch._utils", "_rebuild_tensor_v2") + b"}" + text("__code__") + b"Nsb"),
        "unknown package": stream(call("evil_package", "run")),
        "unknown torch": stream(call("torch.hub", "load", text("a/b"), text("c"))),
        "torch.load": stream(call("torch", "load", text("x.pt"))),
        "load from bytes": stream(call("torch.storage", "_load_from_bytes", short(EVIL))),
        "pickle.loads": stream(call("pickle", "loads", short(EVIL))),
        "numpy.load": stream(call("numpy", "load", text("x.npy"))),
        "numpy f2py": stream(call("numpy.f2py.crackfortran", "getlincoef", text("x"), b"}")),
        "pandas": stream(call("pandas", "read_csv", text("http://x"))),
        "timeit": stream(call("timeit", "timeit", text("1"))),
        "shelve": stream(call("shelve", "open", text("x"))),
        "linecache": stream(call("linecache", "getlines", text("/etc/passwd"))),
        "file": stream(call("io", "open", text("/etc/passwd"))),
        "path": stream(call("pathlib", "Path.write_text", text("x"), text("y")), 4),
        "ctypes": stream(call("ctypes", "CDLL", text("x.so"))),
        "ext": stream(b"\x82\x01)R"),
        "persid": b"\x80\x02" + b"Pos.system\n.",
        "python 2": stream(call("commands", "getoutput", text("id"))),
        "python 2 builtin": stream(call("__builtin__", "eval", text("1"))),
        "copy_reg": stream(call("copy_reg", "_reconstructor", name("os", "system"), name("builtins", "object"), b"N")),
        "after stop": PLAIN + EVIL,
        "before": EVIL[:-1] + b"0" + PLAIN[2:],
        "second stream": stream(b"N") + b"\0" * 100 + EVIL,
        "frame": b"\x80\x04\x95" + struct.pack("<Q", 3) + b"N0N" + SYSTEM + b".",
        "long constant": stream(short(bytes(300_000)) + b"0" + SYSTEM),
        "cut after the call": EVIL[:-1],
        "garbage after the call": EVIL[:-1] + b"\xff\xff\xff",
        "in a dict key": stream(b"}" + SYSTEM + b"Ns"),
        "in a state": stream(call("collections", "OrderedDict") + b"}" + text("x") + SYSTEM + b"sb"),
        "in hooks": stream(call("torch._utils", "_rebuild_tensor_v2", *view[:-1], SYSTEM)),
        "rebuild: bytearray": rebuilt(name("builtins", "bytearray"), number(1 << 40)),
        "rebuild: storage": rebuilt(name("torch", "FloatStorage"), number(1 << 40)),
        "rebuild: codecs": rebuilt(name("_codecs", "encode"), text("x"), text("rot13")),
        "rebuild: objects": rebuilt(name("numpy", "ndarray"), row(number(1)), text("O8"), short(bytes(8))),
        "rebuild: rebuild": rebuilt(
            name("torch._tensor", "_rebuild_from_type_v2"),
            name("builtins", "bytearray"), name("torch", "Tensor"), row(number(1 << 40)), b"N",
        ),
        "rebuild: list of arguments": stream(call(
            "torch._tensor", "_rebuild_from_type_v2", name("builtins", "bytearray"), name("torch", "Tensor"),
            b"](" + number(1 << 40) + b"e", b"N",
        )),
        "rebuild: computed arguments": stream(call(
            "torch._tensor", "_rebuild_from_type_v2", name("builtins", "bytearray"), name("torch", "Tensor"),
            call("collections", "OrderedDict"), b"N",
        )),
        "rebuild: system": rebuilt(name("os", "system"), text("id")),
        "rebuild: range": rebuilt(name("builtins", "range"), number(1 << 40)),
        "rebuild: type": rebuilt(name("builtins", "type"), text("x"), b")", b"}"),
        "rebuild: getattr": rebuilt(name("builtins", "getattr"), name("torch", "Tensor"), text("load")),
        "rebuild: state": rebuilt(
            name("torch._utils", "_rebuild_tensor_v2"), *view, state=attributes(data=weight),
        ),
        "set of a range": stream(call("builtins", "set", range_)),
        "state: data": built(weight, attributes(data=weight)),
        "state: class": built(weight, attributes(__class__=name("torch.nn.parameter", "Parameter"))),
        "state: dict": built(weight, attributes(__dict__=b"}")),
        "state: real": built(weight, attributes(real=weight)),
        "state: hooks": built(weight, attributes(_backward_hooks=b"}")),
        "state: slots": built(weight, row(b"N", attributes(data=weight))),
        "state: four": built(weight, row(storage(), number(0), row(number(1 << 30)), row(number(1)))),
        "state: of a parameter": built(parameter, attributes(data=weight)),
        "state: of a parameter with state": stream(
            call("torch._utils", "_rebuild_parameter_with_state", weight, b"\x88", b"}", attributes(data=weight))
        ),
        "state: of a size": stream(call("torch", "Size", row(number(1))) + b"}" + text("x") + b"Nsb"),
        "inside: bytes": stream(b"}" + text("x") + short(EVIL) + b"s"),
        "inside: text": stream(b"}" + text("x") + latin + b"s"),
        "inside: protocol 0": stream(b"}" + text("x") + short(b"cos\nsystem\n(S'id'\ntR.") + b"s"),
        "inside: twice": stream(b"}" + text("x") + short(stream(b"]" + short(EVIL) + b"a")) + b"s"),
        "inside: legacy": stream(b"}" + text("x") + short(legacy(EVIL)) + b"s"),
        "inside: array": stream(call(
            "numpy._core.numeric", "_frombuffer", short(EVIL), call("numpy", "dtype", text("u1"), b"\x89", b"\x88"),
            row(number(len(EVIL))), text("C"),
        )),
        "legacy": legacy(EVIL),
        "legacy: magic by eval": legacy(magic=stream(call("builtins", "eval", text("1")))),
        "legacy: keys": legacy()[:-24].replace(b"](X", b"](X") + EVIL,
        "item of a tensor": stream(weight + number(0) + number(1) + b"s"),
        "tensor outside": stream(state_dict(w=tensor(storage(), (400,)))),
    }  # fmt: skip
    files = {f"pickle: {case}": body for case, body in cases.items()}
    zips = {
        "zip": torch_zip(EVIL),
        "zip: other folder": torch_zip(EVIL, root="x/y"),
        "zip: second pickle": torch_zip(PLAIN, data__0=bytes(16), extra__x=EVIL, version=b"3\n"),
        "zip: constants": torch_zip(PLAIN, data__0=bytes(16), **{"constants.pkl": EVIL}),
        "zip: tensor outside": torch_zip(stream(state_dict(w=tensor(storage(), (400,))))),
        "zip: short record": torch_zip(PLAIN, data__0=bytes(4)),
        "zip: python": torch_zip(PLAIN, data__0=bytes(16), **{"x.py": b"import os"}),
        "zip: state": torch_zip(built(weight, attributes(data=weight))),
        "zip: sparse outside": sparse(2),
        "zip: sparse below": sparse(-1),
        "zip: sparse huge": sparse(1 << 40),
        "zip: sparse unknown": sparse(0, layout="torch.sparse_xyz"),
    }
    return files | {f"torch {case}": body for case, body in zips.items()}
