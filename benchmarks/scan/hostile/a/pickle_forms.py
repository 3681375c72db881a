"""Pickles: opcodes, frames, memo, streams and wrappings that all end in one call of ``os.system``."""

from __future__ import annotations

import struct

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import (
    EVIL,
    OLD_WEIGHTS,
    SYSTEM,
    WEIGHTS,
    call,
    group,
    legacy,
    name,
    number,
    raw,
    state_dict,
    table,
    tensor,
    text,
    torch_zip,
    whole,
)

OS = name("os", "system")
ANY = "pickle.load and torch.load(weights_only=False), the default before torch 2.6, call os.system"
FRAME = b"\x95"


def _weights(label: str, body: bytes, loader: str = ANY) -> Case:
    """``pytorch_model.bin`` is a raw pickle: torch's legacy reader unpickles its start."""
    return bad(label, loader, lambda: vit_bin(body))


def _beside(label: str, body: bytes, path: str = "history.pkl", loader: str = ANY) -> Case:
    """A pickle beside good weights, which the author's own script loads."""
    return bad(label, loader, lambda: vit({path: body}))


PARTIAL = name("functools", "partial") + group(OS, text("true")) + b"\x81"
ORDERED = call(name("collections", "OrderedDict"))
STATE = ORDERED + table(__setstate__=OS) + b"b" + text("true") + b"b"
FROM_MEMO = text("system") + b"q\x05" + text("os") + b"q\x06" + b"00" + b"h\x06h\x05\x93" + group(text("true")) + b"R"
OVERWRITTEN = (
    text("math") + b"q\x000" + text("os") + b"q\x000h\x00" + text("system") + b"\x93" + group(text("true")) + b"R"
)
ODD_INDEX = OS + b"p1_0\n0g10\n" + group(text("true")) + b"R"
TORCH_BYTES = call(name("torch.storage", "_load_from_bytes"), raw(EVIL))

CASES: tuple[Case, ...] = (
    _weights("protocol-0-text", b"cos\nsystem\n(S'true'\ntR."),
    _weights("inst", b"(S'true'\nios\nsystem\n."),
    _weights("obj", b"\x80\x02(" + OS + text("true") + b"o."),
    _weights("partial-by-newobj-called-later", whole(PARTIAL + b")R", 3), "partial(os.system, 'true')() runs on load"),
    _weights("names-from-memo-in-other-order", whole(FROM_MEMO, 4)),
    _weights("memo-entry-overwritten", whole(OVERWRITTEN, 4)),
    _weights(
        "names-by-unicode-escapes", whole(b"V\\u006f\\u0073\nV\\u0073ystem\n\x93" + group(text("true")) + b"R", 4)
    ),
    _weights("names-by-string-escapes", whole(b"S'\\x6f\\x73'\nS'sys\\164em'\n\x93" + group(text("true")) + b"R", 4)),
    _weights(
        "dotted-through-a-listed-module",
        whole(text("torch") + text("serialization.os.system") + b"\x93" + group(text("true")) + b"R", 4),
        "find_class of protocol 4 walks attributes: torch.serialization.os.system is os.system",
    ),
    _weights(
        "dotted-in-the-old-opcode",
        whole(b"ctorch._utils\nsys.modules.get\n" + group(text("os")) + b"R0" + WEIGHTS, 4),
        "GLOBAL in a stream of protocol 4 walks attributes: sys.modules.get hands out any module",
    ),
    _weights("python-2-name", b"ccommands\ngetoutput\n(S'true'\ntR.", "fix_imports makes it subprocess.getoutput"),
    _weights("python-2-builtin", b"c__builtin__\nexecfile\n(S'/tmp/x'\ntR.", "Python 2's pickle runs the file"),
    _weights("setstate-put-into-an-instance", whole(STATE), "BUILD calls the instance's own __setstate__: os.system"),
    _weights("in-a-dict-key", whole(b"}" + SYSTEM + b"Ns")),
    _weights("in-a-frozenset", whole(b"(" + SYSTEM + b"\x91", 4)),
    _weights("popped-before-the-weights", whole(SYSTEM + b"0" + WEIGHTS)),
    _weights("dropped-with-its-mark", whole(b"(" + SYSTEM + b"1" + WEIGHTS)),
    _weights("fault-behind-the-call", b"\x80\x02" + SYSTEM + b"\xff\xfe not a pickle"),
    _weights("ends-without-stop", b"\x80\x02" + SYSTEM),
    _weights("frame-over-an-opcode", b"\x80\x04" + FRAME + struct.pack("<Q", 7) + SYSTEM + b"."),
    _weights("frame-longer-than-the-file", b"\x80\x04" + FRAME + struct.pack("<Q", 3) + b"N0" + b"N0" + SYSTEM + b"."),
    _weights("callable-by-dup", whole(OS + b"2" + group(text("true")) + b"R")),
    _weights("memo-index-with-an-underscore", whole(ODD_INDEX), "int() reads p1_0 as 10, so g10 is os.system"),
    _weights("protocol-5-bytearray", whole(b"\x96" + struct.pack("<Q", 3) + b"abc0" + SYSTEM, 5)),
    _weights("protocol-twice", b"\x80\x02\x80\x04" + SYSTEM + b"."),
    _weights(
        "long-unicode-names",
        whole(
            b"".join(b"\x8d" + struct.pack("<Q", len(x)) + x for x in (b"os", b"system"))
            + b"\x93"
            + group(text("true"))
            + b"R",
            4,
        ),
    ),
    _beside(
        "second-stream-in-a-file",
        whole(table(loss=number(1))) + EVIL,
        loader="a reader that loops over the file until EOFError, as pickled histories are read, calls os.system",
    ),
    bad("legacy-third-pickle", ANY, lambda: vit_bin(legacy(info=SYSTEM))),
    bad("legacy-storage-keys", ANY, lambda: vit_bin(legacy(keys=SYSTEM + b"0](" + text("0") + text("1") + b"e"))),
    bad("legacy-hidden-in-the-state-dict", ANY, lambda: vit_bin(legacy(state_dict(x=SYSTEM) + b"0" + OLD_WEIGHTS))),
    _beside("pickle-in-a-pickle", whole(call(name("pickle", "loads"), raw(EVIL)), 3), "metrics.pickle"),
    _beside(
        "torch-file-in-a-pickle",
        whole(table(w=TORCH_BYTES), 3),
        "features.pkl",
        "torch.storage._load_from_bytes is torch.load(weights_only=False) of the bytes, whoever unpickles",
    ),
    _beside(
        "torch-zip-in-a-pickle",
        whole(call(name("torch.storage", "_load_from_bytes"), raw(torch_zip(SYSTEM))), 3),
        "features.pkl",
        "torch.storage._load_from_bytes is torch.load(weights_only=False) of the bytes",
    ),
    _beside(
        "call-by-rebuild-from-type",
        whole(
            call(name("torch._tensor", "_rebuild_from_type_v2"), OS, name("torch", "Tensor"), group(text("true")), b"N")
        ),
        "optimizer.pt",
        "_rebuild_from_type_v2 calls func(*args)",
    ),
    bad(
        "hooks-hold-a-call",
        ANY,
        lambda: vit_bin(
            torch_zip(
                state_dict(
                    w=tensor("0").replace(
                        call(name("collections", "OrderedDict")), ORDERED + b"(" + text("0") + SYSTEM + b"u"
                    )
                )
            )
        ),
    ),
    bad(
        "paddle-parameters",
        "paddle.load unpickles it: os.system",
        lambda: {"model.pdparams": EVIL, "README.md": "# Paddle\n"},
    ),
    # twins
    twin("plain-history", "pickle.load", lambda: vit({"history.pkl": whole(table(loss=b"](" + number(1) + b"e"), 4)})),
    twin(
        "many-streams-of-records",
        "a reader that loops until EOFError",
        lambda: vit({"history.pkl": b"".join(whole(table(step=number(step)), 4) for step in range(5))}),
    ),
    twin("legacy-weights", "torch.load", lambda: vit_bin(legacy())),
    twin("new-weights", "torch.load", lambda: vit_bin(torch_zip(WEIGHTS))),
    twin("text-protocol-0", "pickle.load", lambda: vit({"labels.pkl": b"(dp0\nS'cat'\np1\nI0\nsS'dog'\np2\nI1\ns."})),
    twin("framed-protocol-4", "pickle.load", lambda: vit({"classes.pkl": _framed(b"](" + text("cat") + b"\x94e")})),
    twin(
        "sets-and-bytes",
        "pickle.load",
        lambda: vit(
            {
                "cache.pkl": whole(
                    table(seen=b"\x8f(" + text("a") + b"\x90", raw=b"\x96" + struct.pack("<Q", 2) + b"ab"), 5
                )
            }
        ),
    ),
    twin(
        "dates-and-paths",
        "pickle.load",
        lambda: vit(
            {
                "run.pkl": whole(
                    table(
                        when=call(name("datetime", "timedelta"), number(1), number(2), number(3)),
                        where=call(name("pathlib", "PosixPath"), text("out")),
                    ),
                    4,
                )
            }
        ),
    ),
)


def _framed(body: bytes) -> bytes:
    """As pickle.dumps(protocol=4) frames it."""
    return b"\x80\x04" + FRAME + struct.pack("<Q", len(body) + 1) + body + b"."
