"""Arrays whose header reaches pickle by another spelling, or whose reader trusts a length."""

from __future__ import annotations

import struct

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.file_bytes import npy, zipped
from benchmarks.scan.hostile.ordinary import Repo, vit
from benchmarks.scan.hostile.pickle_bytes import EVIL

LOADS = "numpy.load(allow_pickle=True), and numpy before 1.16.3 by default: "


def voices(body: bytes, path: str = "embeddings.npy") -> Repo:
    """A ViT with an array beside it."""
    return vit({path: body})


def short() -> bytes:
    """An array whose header has 16 bytes in all."""
    line = b"{'descr':'|i1'}\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + bytes(4)


FLOATS = npy("'<f4'", bytes(8), "(2,)")

CASES = [
    bad(
        "member-without-a-suffix",
        LOADS + "a member of an .npz is an array by its first bytes, not by its name",
        lambda: voices(zipped({"weights.npy": FLOATS, "notes": npy("'|O'", EVIL)}), "embeddings.npz"),
    ),
    bad(
        "two-fields-in-a-text",
        LOADS + "a descr of 'i4,O' is a record with an object",
        lambda: voices(npy("'i4,O'", EVIL)),
    ),
    bad("repeated-object", LOADS + "a descr of '2O' is a pair of objects", lambda: voices(npy("'2O'", EVIL))),
    bad(
        "title-of-a-field",
        LOADS + "a field with a title, deep in a record, is an object",
        lambda: voices(npy("[('a', '<i4'), (('Title', 'b'), [('c', [('d', '|O', (2,))])])]", EVIL)),
    ),
    bad(
        "header-of-python-2",
        LOADS + "numpy takes the L of long numbers out and reads on",
        lambda: voices(npy("", EVIL, header="{'descr': '|O', 'fortran_order': False, 'shape': (2L,), }")),
    ),
    bad(
        "second-array-of-a-file",
        LOADS + "a second numpy.load on the same file reads the next array, as numpy's own example of save does",
        lambda: voices(FLOATS + npy("'|O'", EVIL)),
    ),
    bad(
        "names-in-utf-8",
        LOADS + "version 3 of the header with an object in a record",
        lambda: voices(npy("[('größe', '<f4'), ('namen', [('x', 'object')])]", EVIL, version=3)),
    ),
    bad(
        "short-header",
        "MLX before 0.29.4 (CVE-2025-62608): load reads header[34] of a header that is shorter",
        lambda: voices(short()),
    ),
    twin(
        "voices",
        "numpy, in Bark's processor: three arrays of numbers",
        lambda: vit(
            {
                f"speaker_embeddings/en_0_{part}_prompt.npy": npy("'<i8'", bytes(8 * (3 + index)), f"({3 + index},)")
                for index, part in enumerate(("semantic", "coarse", "fine"))
            }
        ),
    ),
    twin(
        "records",
        "numpy: a table with texts, times and numbers",
        lambda: voices(
            npy("[('name', '<U8'), ('at', '<M8[ns]'), ('box', '<f4', (4,))]", bytes(2 * (32 + 8 + 16)), "(2,)")
        ),
    ),
    twin(
        "features",
        "numpy: an .npz of features and labels",
        lambda: voices(
            zipped(
                {
                    "features.npy": npy("'<f2'", bytes(24), "(3, 4)"),
                    "labels.npy": npy("'<U3'", "catdog".encode("utf-32-le"), "(2,)"),
                    "step.npy": npy("'<i8'", struct.pack("<q", 500), "()"),
                }
            ),
            "features.npz",
        ),
    ),
]
