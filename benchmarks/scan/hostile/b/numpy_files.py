"""NumPy once more."""

from __future__ import annotations

import io
import zipfile

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import npy, zipped
from benchmarks.scan.hostile.ordinary import vit
from benchmarks.scan.hostile.pickle_bytes import EVIL

LOAD = "numpy.load(allow_pickle=True) unpickles it"


def _array(label: str, descr: str, path: str = "targets.npy", version: int = 1) -> Case:
    return bad(label, LOAD, lambda: vit({path: npy(descr, EVIL, version=version)}))


CASES: tuple[Case, ...] = (
    _array("native-order", "'=O'"),
    _array("big-order-with-a-size", "'>O8'"),
    _array("named-object-0", "'object_'"),
    _array("with-a-title", "[(('title', 'x'), '|O')]"),
    _array("record-with-a-shape", "[('a', '<f4', (2,)), ('b', 'O', (1,))]"),
    _array("version-2", "'|O'", version=2),
    _array("capital-ending", "'|O'", "TARGETS.NPY"),
    _array("no-ending", "'O'", "cache/targets"),
    bad(
        "second-array-in-the-file",
        "numpy.load twice of one open file, as numpy's own documents show",
        lambda: vit({"pair.npy": npy("'<f4'", bytes(4)) + npy("'|O'", EVIL)}),
    ),
    bad("stored-npz", LOAD, lambda: vit({"d.npz": _stored({"meta.npy": npy("[('k', 'O')]", EVIL)})})),
    bad("npz-in-a-zip", LOAD, lambda: vit({"d.zip": zipped({"d.npz": zipped({"a.npy": npy("'|O'", EVIL)})})})),
    # twins
    twin("booleans", "numpy.load", lambda: vit({"mask.npy": npy("'|b1'", bytes(6), "(2, 3)")})),
    twin("dates", "numpy.load", lambda: vit({"when.npy": npy("'<M8[ns]'", bytes(8))})),
    twin(
        "version-2-record",
        "numpy.load",
        lambda: vit({"r.npy": npy("[('Größe', '<f8'), ('n', '|u1')]", bytes(9), version=3)}),
    ),
    twin(
        "stored-numbers",
        "numpy.load",
        lambda: vit({"d.npz": _stored({"a.npy": npy("'<f4'", bytes(4)), "b.npy": npy("'<i8'", bytes(8))})}),
    ),
)


def _stored(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, data in members.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return out.getvalue()
