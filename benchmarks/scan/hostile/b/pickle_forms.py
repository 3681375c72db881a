"""Pickles: effects without a call, calls at second hand, odd opcodes."""

from __future__ import annotations

import struct

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import (
    EVIL,
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
ANY = "pickle.load and torch.load(weights_only=False) call os.system"
BUILTIN = "builtins"


def _weights(label: str, body: bytes, loader: str = ANY) -> Case:
    return bad(label, loader, lambda: vit_bin(body))


def _beside(label: str, body: bytes, path: str = "cache.pkl", loader: str = ANY) -> Case:
    return bad(label, loader, lambda: vit({path: body}))


ENVIRON = name("os", "environ") + text("LD_PRELOAD") + text("./x.so") + b"s0"
SEARCH = name("sys", "path") + text("./code") + b"a0"
MODULE = name("torch", "serialization") + table(_default_to_weights_only=b"\x89") + b"b0"
PARTIAL = call(name("functools", "partial"), name(BUILTIN, "print")) + group(OS, group(text("true")), b"}", b"N") + b"b"
KEYWORDS = name("functools", "partial") + group(OS) + table(command=text("true")) + b"\x92"
BASE = call(
    name("copyreg", "_reconstructor"),
    name("subprocess", "Popen"),
    name("subprocess", "Popen"),
    b"](" + text("true") + b"e",
)
MAPPED = call(name("collections", "Counter"), call(name(BUILTIN, "map"), OS, b"](" + text("true") + b"e"))
DEEP = b"(" * 300 + SYSTEM + b"t" * 300

CASES: tuple[Case, ...] = (
    _weights(
        "environment-by-setitem",
        whole(ENVIRON + WEIGHTS),
        "no call: SETITEM on os.environ makes later processes load x.so",
    ),
    _weights(
        "search-path-by-append",
        whole(SEARCH + WEIGHTS),
        "no call: APPEND to sys.path, later imports take files of ./code",
    ),
    _weights(
        "module-changed-by-build",
        whole(MODULE + WEIGHTS, 4),
        "no call: BUILD sets attributes of the module torch.serialization",
    ),
    _weights(
        "partial-filled-by-build", whole(PARTIAL + b")R", 4), "partial.__setstate__ puts os.system in, REDUCE runs it"
    ),
    _weights(
        "partial-by-newobj-ex",
        whole(KEYWORDS + b")R", 4),
        "NEWOBJ_EX makes partial(os.system, command='true'), REDUCE runs it",
    ),
    _weights(
        "base-class-initialised",
        whole(BASE + b"0" + WEIGHTS),
        "copyreg._reconstructor calls base.__init__: Popen(['true'])",
    ),
    _weights("counter-of-a-map", whole(MAPPED + b"0" + WEIGHTS), "Counter walks the map, which calls os.system"),
    _weights("reduce-of-two", whole(call(name("functools", "reduce"), OS, b"](" + text("true") + b"e", number(1)))),
    _weights("deep-in-tuples", whole(DEEP)),
    _weights("names-by-binstring", whole(b"T\x02\0\0\0osU\x06system\x93" + group(text("true")) + b"R", 4)),
    _weights("inst-in-the-middle", whole(state_dict(w=tensor("0"))[:-1] + b"u0(S'true'\nios\nsystem\n0" + WEIGHTS)),
    _weights(
        "memo-by-memoize",
        whole(text("os") + b"\x94" + text("system") + b"\x940" + b"0h\0h\x01\x93" + group(text("true")) + b"R", 4),
    ),
    _weights(
        "argument-from-a-list",
        whole(
            call(name(BUILTIN, "getattr"), call(name("importlib", "import_module"), text("os")), text("system"))
            + group(text("true"))
            + b"R",
            3,
        ),
    ),
    _weights("many-numbers-first", whole(b"](" + b"K\x01" * 60000 + b"e0" + SYSTEM)),
    _weights("legacy-fourth-after-good", legacy(WEIGHTS.replace(b"Q", b"Q", 1)[:-1] + text("x") + SYSTEM + b"u")),
    _beside(
        "newobj-through-copyreg",
        whole(call(call(name("copyreg", "__newobj__"), name("functools", "partial"), OS, text("true"))), 3),
    ),
    _beside(
        "pickle-in-protocol-5-bytes",
        whole(call(name("_pickle", "loads"), b"\x96" + struct.pack("<Q", len(EVIL)) + EVIL), 5),
    ),
    _beside(
        "storage-of-a-zip",
        whole(table(a=call(name("torch.storage", "_load_from_bytes"), raw(torch_zip(SYSTEM, root="x")))), 4),
        "data.pickle",
        "torch.storage._load_from_bytes is torch.load(weights_only=False)",
    ),
    _beside(
        "registered-by-atexit",
        whole(call(name("atexit", "register"), OS, text("true"))),
        "state.pkl",
        "runs when Python ends",
    ),
    # twins
    twin("nested-lists", "pickle.load", lambda: vit({"tree.pkl": whole(b"(" * 40 + number(1) + b"t" * 40)})),
    twin(
        "parameter-of-torch",
        "torch.load",
        lambda: vit_bin(
            torch_zip(
                state_dict(
                    w=call(
                        name("torch._utils", "_rebuild_parameter"),
                        tensor("0"),
                        b"\x88",
                        call(name("collections", "OrderedDict")),
                    )
                ),
                storages={"0": bytes(24)},
            )
        ),
    ),
    twin(
        "memoized",
        "pickle.load",
        lambda: vit({"names.pkl": whole(b"]\x94(" + text("cat") + b"\x94h\x01" + text("os") + b"\x94e", 4)}),
    ),
    twin(
        "tensor-by-pickle",
        "pickle.load",
        lambda: vit({"mean.pkl": whole(call(name("torch.storage", "_load_from_bytes"), raw(legacy())), 3)}),
    ),
    twin(
        "floats-and-none",
        "pickle.load",
        lambda: vit({"hist.pkl": whole(table(a=b"G" + bytes(8), b=b"N", c=b"\x88", d=number(2**40)), 2)}),
    ),
)
