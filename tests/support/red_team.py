"""Hostile files of our own making, by kind: what they call prints a line at most, and nothing here loads one."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

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
from support.scanned_files import npy, safetensors, zipped

SYSTEM = call("os", "system", text("echo hubclean must not run"))
Files = dict[str, bytes]


def short(body: bytes) -> bytes:
    """BINBYTES."""
    return b"B" + struct.pack("<I", len(body)) + body


def tar(members: Files, mode: str = "w", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode=mode) as archive:  # type: ignore[call-overload]
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size, info.type, info.linkname = len(content), kind, link
            archive.addfile(info, io.BytesIO(content))
    return body.getvalue()


def zipped_as(members: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", method) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
    return body.getvalue()


def object_array(body: bytes = EVIL) -> bytes:
    return npy("'|O'", body)


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


def header_hiding(body: bytes, at: int) -> bytes:
    """Safetensors whose metadata hold a pickle from a place on."""
    return safetensors(
        {"__metadata__": {"x": "a" * at + body.decode("latin-1")}}
        | {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    )


def padded(body: bytes, at: int, suffix: bytes = b"") -> bytes:
    """Safetensors whose header is padded with blanks and whose tensor's bytes are as given."""
    header = {"a": {"dtype": "U8", "shape": [len(body)], "data_offsets": [0, len(body)]}}
    words = json.dumps(header).encode()
    words += b" " * (at - len(words))
    return len(words).to_bytes(8, "little") + words + body + suffix


def pickles() -> Files:
    """Raw pickles and torch's formats."""
    range_ = call("builtins", "range", number(1 << 40))
    weight = tensor(storage())
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
        "methodcaller": stream(call("operator", "methodcaller", text("system"), text("id")) + row(name("builtins", "object")) + b"R"),
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
        "pickle.loads": stream(call("_pickle", "loads", short(EVIL))),
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
        "persid": b"Pos.system\n.",
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
        "in hooks": stream(
            call("torch._utils", "_rebuild_tensor_v2", storage(), number(0), row(number(4)), row(number(1)), b"\x89", SYSTEM)
        ),
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
            name("torch._utils", "_rebuild_tensor_v2"), storage(), number(0), row(number(4)), row(number(1)), b"\x89", b"}",
            state=attributes(data=weight),
        ),
        "set of a range": stream(call("builtins", "set", range_)),
        "state: data": built(weight, attributes(data=weight)),
        "state: class": built(weight, attributes(__class__=name("torch.nn.parameter", "Parameter"))),
        "state: dict": built(weight, attributes(__dict__=b"}")),
        "state: real": built(weight, attributes(real=weight)),
        "state: hooks": built(weight, attributes(_backward_hooks=b"}")),
        "state: slots": built(weight, row(b"N", attributes(data=weight))),
        "state: four": built(weight, row(storage(), number(0), row(number(1 << 30)), row(number(1)))),
        "state: of a parameter": built(
            call("torch._utils", "_rebuild_parameter", weight, b"\x88", call("collections", "OrderedDict")), attributes(data=weight)
        ),
        "state: of a parameter with state": stream(
            call("torch._utils", "_rebuild_parameter_with_state", weight, b"\x88", b"}", attributes(data=weight))
        ),
        "state: of a size": stream(call("torch", "Size", row(number(1))) + b"}" + text("x") + b"Nsb"),
        "inside: bytes": stream(b"}" + text("x") + short(EVIL) + b"s"),
        "inside: text": stream(b"}" + text("x") + call("_codecs", "encode", text(EVIL.decode("latin-1")), text("latin1")) + b"s"),
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


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "m.pkl.gz": gzip.compress,
    "m.joblib": zlib.compress,
    "m.pkl.bz2": bz2.compress,
    "m.pkl.xz": lzma.compress,
    "m.pkl.lzma": lambda body: lzma.compress(body, lzma.FORMAT_ALONE),
    "m.tar": lambda body: tar({"a/b.pkl": body}),
    "m.tar.gz": lambda body: tar({"a/b.pkl": body}, "w:gz"),
    "m.tgz": lambda body: tar({"b.bin": torch_zip(body)}, "w:gz"),
    "m.tar.xz": lambda body: tar({"a/b.npz": zipped_as({"x.npy": object_array(body)})}, "w:xz"),
    "m.tar.bz2": lambda body: tar({"a/b.npy": object_array(body)}, "w:bz2"),
    "m.zip": lambda body: zipped_as({"a/b.pkl": body}),
    "stored.zip": lambda body: zipped_as({"a/b.bin": torch_zip(body)}, zipfile.ZIP_STORED),
    "lzma.zip": lambda body: zipped_as({"a/b.pkl": body}, zipfile.ZIP_LZMA),
    "tgz.zip": lambda body: zipped_as({"a/b.tar.gz": tar({"c.pkl": body}, "w:gz")}),
    "gz.zip": lambda body: zipped_as({"a/b.pkl.gz": gzip.compress(body)}),
    "tar.zip": lambda body: zipped_as({"a/b.tar": tar({"c.pkl": body})}),
    "zip.tgz": lambda body: tar({"b.zip": zipped_as({"c.pkl": body})}, "w:gz"),
    "twice.gz": lambda body: gzip.compress(gzip.compress(body)),
    "two_members.pkl.gz": lambda body: gzip.compress(stream(b"N")) + gzip.compress(body),
    "m.npz": lambda body: zipped_as({"x.npy": object_array(body)}),
    "m.npy": object_array,
    "m.nemo": lambda body: tar({"model_weights.ckpt": torch_zip(body)}),
    "noending": lambda body: body,
    "README.md": lambda body: body,
    "logo.png": lambda body: body,
    "config.json": lambda body: body,
    "model.safetensors": lambda body: body,
    "model.onnx": lambda body: body,
    "m.dat": lambda body: zipped_as({"a.pkl": body}),
    "m.h5": lambda body: body,
    "x.txt": lambda body: gzip.compress(body),
    "model.gguf": lambda body: torch_zip(body),
}  # fmt: skip


def containers() -> Files:
    """The same pickle in every container, under names that promise it and names that do not."""
    return {path: pack(EVIL) for path, pack in PACKED.items()}


def polyglots() -> Files:
    """Two formats in one file."""
    evil = torch_zip(EVIL)
    gguf = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    return {
        "trailing/model.safetensors": safetensors() + evil,
        "tensor/model.safetensors": padded(evil, 64),
        "late/model.safetensors": padded(bytes(400_000) + evil, 64),
        "header/model.safetensors": padded(evil, 6000),
        "image/logo.png": png + evil,
        "large/logo.png": png + bytes(400_000) + evil,
        "gguf/model.gguf": gguf + evil,
        "large/model.gguf": gguf + bytes(400_000) + evil,
        "onnx/model.onnx": b"\x08\x07\x12\x04test:\x00" + evil,
        "pickle/x.bin": PLAIN + evil,
        "front/x.bin": EVIL + torch_zip(),
        "large/data": bytes(400_000) + evil,
        "large/notes.txt": b"words " * 80_000 + evil,
        "large/data.jsonl": b'{"a": 1}\n' * 50_000 + evil,
        "pdf/paper.pdf": b"%PDF-1.4\n" + bytes(300_000) + evil,
        "mp4/clip.mp4": b"\x00\x00\x00\x20ftypisom" + bytes(300_000) + evil,
        "tar/x.tar": tar({"a.txt": b"x"}) + evil,
        "npy/x.npy": npy("'<f4'", bytes(4)) + evil,
        "h5/x.h5": b"\x89HDF\r\n\x1a\n" + bytes(1000) + evil,
    }


def archives() -> Files:
    """Tricks of archives themselves."""
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("archive/data.pkl", PLAIN)
        archive.writestr("archive/data/0", bytes(16))
        archive.filelist.append(archive.filelist[0])
    plain = torch_zip()
    flagged = bytearray(torch_zip(EVIL))
    flagged[flagged.find(b"PK\x01\x02") + 8] |= 1
    renamed = torch_zip().replace(b"archive/data.pkl", b"archive/data.txt", 1)
    return {
        "leaves.zip": zipped(**{"../../x.txt": b"x"}),
        "absolute.zip": zipped(**{"/etc/x": b"x"}),
        "drive.zip": zipped(**{"C:\\x": b"x"}),
        "twice/x.bin": twice.getvalue(),
        "flags/x.bin": bytes(flagged),
        "renamed/x.bin": renamed,
        "crc/x.bin": plain.replace(PLAIN, PLAIN[:-2] + b"0N."[:2], 1) if len(PLAIN) > 4 else plain,
        "leaves.tar": tar({"../x": b"x"}),
        "absolute.tar": tar({"/etc/x": b"x"}),
        "link.tar": tar({"x": b""}, kind=tarfile.SYMTYPE, link="/etc/passwd"),
        "hardlink.tar": tar({"x": b""}, kind=tarfile.LNKTYPE, link="../x"),
        "device.tar": tar({"x": b""}, kind=tarfile.CHRTYPE),
        "fifo.tar.gz": tar({"x": b""}, "w:gz", kind=tarfile.FIFOTYPE),
        "program.zip": zipped(**{"x": b"\x7fELF" + bytes(100)}),
        "bomb.zip": zipped_as({"x.txt": bytes(20 << 20)}),
        "bomb.gz": gzip.compress(bytes(80 << 20), 1),
    }


def others() -> Files:
    """Formats of other libraries."""
    keras = json.dumps({"class_name": "Lambda", "module": "keras.layers", "config": {"function": {
        "class_name": "__lambda__", "config": {"code": "4wEAAAA="}}}}).encode()  # fmt: skip
    module = json.dumps({"module": "os", "class_name": "system", "config": {}}).encode()
    skops = json.dumps(
        {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "system"}
    ).encode()
    return {
        "lambda.keras": zipped(**{"config.json": keras, "metadata.json": b"{}", "model.weights.h5": b""}),
        "module.keras": zipped(**{"config.json": module, "metadata.json": b"{}", "model.weights.h5": b""}),
        "model.skops": zipped(**{"schema.json": skops}),
        "objects.msgpack": b"\x81\xa1a\xc7\x03\x63abc",
        "lone.msgpack": EVIL,
        "auto/config.json": json.dumps({"auto_map": {"AutoModel": "evil/repo--x.Y"}}).encode(),
        "template/tokenizer_config.json": json.dumps({"chat_template": "{{ x['_' ~ '_class_' ~ '_'] }}"}).encode(),
        "template/chat_template.jinja": b"{% set n = '_' * 2 %}{{ x[n ~ 'class' ~ n] }}",
        "late.joblib": gzip.compress(stream(call("joblib.numpy_pickle", "NumpyArrayWrapper") + b"0" + SYSTEM)),
        "x.dill": stream(call("dill._dill", "_create_function", b"N")),
        "x.cloudpickle.pkl": stream(call("cloudpickle.cloudpickle", "_make_function", b"N")),
    }


def all_files() -> Files:
    """Every case, by its path; those of pickles are called ``x.bin``."""
    named = {f"{at}/x.bin": body for at, body in enumerate(pickles().values())}
    return named | containers() | polyglots() | archives() | others()
