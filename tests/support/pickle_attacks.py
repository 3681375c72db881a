"""One adversarial pickle for each mechanism by which scanners were beaten, and the rule that finds it."""

from __future__ import annotations

import struct

from support.pickled import EVIL, PLAIN, call, framed, name, number, row, storage, stream, tensor, text

SAFE = call("collections", "OrderedDict")
WRITTEN = text("os") + text("system") + b"\x93"
PAYLOAD = call("os", "system", text("id"))
ALIASES = b"".join(b"(" + b"h" + bytes([n]) * 1 + (b"h" + bytes([n])) * 9 + b"lq" + bytes([n + 1]) for n in range(8))

ATTACKS: dict[str, tuple[bytes, str]] = {
    # names
    "a command": (EVIL, "HC-PKL-001"),
    "a command by STACK_GLOBAL": (
        stream(text("os") + text("system") + b"\x93" + row(text("id")) + b"R", 4),
        "HC-PKL-001",
    ),
    "a command by INST": (b"(" + text("id") + b"ios\nsystem\n.", "HC-PKL-001"),
    "a command by OBJ": (stream(b"(" + name("os", "system") + text("id") + b"o"), "HC-PKL-001"),
    "a command by NEWOBJ": (stream(name("subprocess", "Popen") + row(text("id")) + b"\x81"), "HC-PKL-001"),
    "a command in Python 2's words": (stream(call("__builtin__", "eval", text("1"))), "HC-PKL-001"),
    "a command handed to a call": (stream(call("collections", "OrderedDict", name("os", "system"))), "HC-PKL-001"),
    "a loader nobody listed": (stream(call("torch.hub", "load", text("x"))), "HC-PKL-001"),
    "a resolver of names": (stream(call("pkgutil", "resolve_name", text("os:system"))), "HC-PKL-001"),
    "pickle in pickle": (stream(call("pickle", "loads", text("x"))), "HC-PKL-001"),
    "the scanner switched off": (stream(call("fickling.hook", "remove_hook")), "HC-PKL-001"),
    "a class nobody knows": (stream(call("innocent.models", "Net")), "HC-PKL-002"),
    "a name that is only referred to": (stream(name("os", "system")), "HC-PKL-002"),
    "a submodule of a listed module": (stream(call("collections.abc", "OrderedDict")), "HC-PKL-002"),
    "a prefix of a listed name": (stream(call("torch._utils", "_rebuild_tensor_v2x")), "HC-PKL-002"),
    "a listed name in another case": (stream(call("torch", "floatstorage")), "HC-PKL-002"),
    # what is called
    "a dot in a name": (stream(text("site") + text("os.system") + b"\x93" + row(text("id")) + b"R", 4), "HC-PKL-003"),
    "a dot in a listed name": (stream(call("collections", "OrderedDict.fromkeys", b"]")), "HC-PKL-003"),
    "a callable made at run time": (stream(SAFE + row() + b"R"), "HC-PKL-003"),
    "a callable out of a memo": (stream(b"}q\x00h\x00" + row() + b"R"), "HC-PKL-003"),
    "a name computed at run time": (stream(SAFE + text("system") + b"\x93", 4), "HC-PKL-003"),
    "a codec that is none of ours": (stream(call("_codecs", "encode", text("x"), text("evil"))), "HC-PKL-003"),
    # opcodes
    "EXT1": (stream(b"\x82\x01"), "HC-PKL-004"),
    "EXT4": (stream(b"\x84\x01\x00\x00\x00"), "HC-PKL-004"),
    "PERSID": (b"Pfile\n.", "HC-PKL-004"),
    "BINPERSID where nothing is outside": (stream(text("x") + b"Q"), "HC-PKL-004"),
    "DUP": (stream(b"]2\x86"), "HC-PKL-004"),
    "POP of a result": (stream(PAYLOAD + b"0N"), "HC-PKL-004"),
    "NEWOBJ_EX": (stream(name("torch", "Size") + b")}\x92", 4), "HC-PKL-004"),
    "buffers from outside": (stream(b"\x97\x98", 5), "HC-PKL-004"),
    "BUILD on a class": (stream(name("torch", "Tensor") + b"}" + text("a") + b"Nsb"), "HC-PKL-004"),
    "BUILD on a dict": (stream(b"}}b"), "HC-PKL-004"),
    "BUILD on a list": (stream(b"]}b"), "HC-PKL-004"),
    "items set on a list": (stream(b"]" + number(0) + b"Ns"), "HC-PKL-004"),
    "APPEND to a class": (stream(name("torch", "Size") + b"Na"), "HC-PKL-004"),
    # broken and ambiguous streams
    "a break behind the payload": (b"\x80\x02" + PAYLOAD + b"\xff\xff", "HC-PKL-005"),
    "no STOP": (b"\x80\x02" + SAFE, "HC-PKL-005"),
    "an opcode cut": (b"\x80\x02X\x10\x00\x00\x00abc", "HC-PKL-005"),
    "PROTO twice": (b"\x80\x02\x80\x04N.", "HC-PKL-005"),
    "PROTO at the end": (b"N\x80\x02.", "HC-PKL-005"),
    "a protocol of the future": (b"\x80\x09N.", "HC-PKL-005"),
    "a frame that ends inside an opcode": (framed(text("a" * 20) + b"0N", 12), "HC-PKL-005"),
    "a frame inside a frame": (framed(b"\x95" + struct.pack("<Q", 1) + b"N"), "HC-PKL-005"),
    "a frame behind the file": (framed(b"N", 1000), "HC-PKL-005"),
    "a frame behind STOP": (framed(b"N", 3) + b"N", "HC-PKL-005"),
    "a memo entry that is not there": (stream(b"h\x05"), "HC-PKL-005"),
    "a memo entry off by one": (stream(b"]q\x00h\x01"), "HC-PKL-005"),
    "a memo entry of nothing": (stream(b"q\x00N"), "HC-PKL-005"),
    "a mark that is not there": (stream(b"t"), "HC-PKL-005"),
    "an empty stack": (stream(b"\x86"), "HC-PKL-005"),
    "a mark left over": (stream(b"(N"), "HC-PKL-005"),
    "values left over": (stream(PAYLOAD + b"N"), "HC-PKL-005"),
    "a key without a value": (stream(b"}(" + text("a") + b"u"), "HC-PKL-005"),
    "arguments that are no tuple": (stream(name("collections", "OrderedDict") + b"NR"), "HC-PKL-005"),
    "a name with an escape that pickletools undoes": (b"\x80\x02co\\x73\nsystem\n)R.", "HC-PKL-005"),
    "a name with a space": (stream(name("os sys", "tem")), "HC-PKL-005"),
    "text that is not UTF-8": (stream(b"X\x01\x00\x00\x00\xff"), "HC-PKL-005"),
    "a number with a sign that some skip": (b"I1_0\n.", "HC-PKL-005"),
    "a negative length": (b"\x80\x02T\xff\xff\xff\xff.", "HC-PKL-005"),
    # more than one stream
    "a second stream": (PLAIN[:2] + b"N." + EVIL, "HC-PKL-006"),
    "bytes behind STOP": (stream(SAFE) + b"MZ rest", "HC-PKL-006"),
    # budgets
    "aliases that expand": (stream(b"]q\x00" + ALIASES + b"h\x08", 2), "HC-PKL-007"),
    "nesting": (stream(b"]" * 600 + b"a" * 599), "HC-PKL-007"),
    "marks": (b"(" * 2000 + b".", "HC-PKL-007"),
    "a memo of 4 GB": (stream(b"Nr\xff\xff\xff\x7f"), "HC-PKL-007"),
    "a buffer of 8 GB": (stream(call("builtins", "bytearray", number(1 << 33))), "HC-PKL-007"),
    # the list's own dangers
    "items set on a tensor": (stream(tensor(storage()) + number(0) + b"Ns"), "HC-PKL-008"),
    "items set on a storage": (stream(storage() + number(0) + b"Ns"), "HC-PKL-008"),
}
