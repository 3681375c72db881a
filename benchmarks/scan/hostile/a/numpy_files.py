"""NumPy: arrays of objects in every spelling, pickles under .npy."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import npy, zipped
from benchmarks.scan.hostile.ordinary import vit
from benchmarks.scan.hostile.pickle_bytes import EVIL, SYSTEM, WEIGHTS, dtype, name, number, raw, text, torch_zip, whole

LOAD = "numpy.load(allow_pickle=True), as feature and label files are loaded, unpickles it"


def _array(label: str, descr: str, path: str = "labels.npy", version: int = 1, header: str | None = None) -> Case:
    return bad(label, LOAD, lambda: vit({path: npy(descr, EVIL, version=version, header=header)}))


CASES: tuple[Case, ...] = (
    _array("objects", "'|O'"),
    _array("objects-with-a-size", "'|O8'"),
    _array("objects-by-word", "'object'"),
    _array("objects-in-a-record", "[('id', '<i4'), ('what', '|O')]"),
    _array("objects-in-a-record-in-a-record", "[('a', [('b', [('c', 'O')])])]"),
    _array("objects-in-a-sub-array", "('|O', (2,))"),
    _array("version-3", "'|O'", version=3),
    _array("python-2-header", "'|O'", header="{'descr': '|O', 'fortran_order': False, 'shape': (1L,), }"),
    _array("text-with-escapes", "'\\x7c\\x4f'"),
    _array("under-another-ending", "'|O'", "embeddings.dat"),
    bad("pickle-named-npy", LOAD, lambda: vit({"labels.npy": EVIL})),
    bad(
        "objects-in-npz",
        LOAD,
        lambda: vit({"features.npz": zipped({"x.npy": npy("'<f4'", bytes(4)), "y.npy": npy("'|O'", EVIL)})}),
    ),
    bad("objects-in-npz-without-ending", LOAD, lambda: vit({"features.npz": zipped({"x": npy("'|O'", EVIL)})})),
    bad(
        "torch-zip-named-npz",
        "torch.load(weights_only=False)",
        lambda: vit({"features.npz": torch_zip(SYSTEM + b"0" + WEIGHTS)}),
    ),
    # twins
    twin("floats", "numpy.load", lambda: vit({"mean.npy": npy("'<f4'", bytes(12), "(3,)")})),
    twin("record", "numpy.load", lambda: vit({"boxes.npy": npy("[('id', '<i4'), ('box', '<f4', (4,))]", bytes(20))})),
    twin("texts", "numpy.load", lambda: vit({"classes.npy": npy("'<U3'", bytes(24), "(2,)")})),
    twin(
        "npz",
        "numpy.load",
        lambda: vit(
            {
                "stats.npz": zipped(
                    {"mu.npy": npy("'<f8'", bytes(16), "(2,)"), "sigma.npy": npy("'<f8'", bytes(32), "(2, 2)")}
                )
            }
        ),
    ),
    twin(
        "objects-that-are-texts",
        "numpy.load(allow_pickle=True)",
        lambda: vit(
            {
                "names.npy": npy(
                    "'|O'",
                    whole(
                        name("numpy.core.multiarray", "_reconstruct")
                        + b"("
                        + name("numpy", "ndarray")
                        + b"("
                        + number(0)
                        + b"t"
                        + raw(b"b")
                        + b"tR("
                        + number(1)
                        + b"("
                        + number(2)
                        + b"t"
                        + dtype("O8", "|")
                        + b"\x89]("
                        + text("cat")
                        + text("dog")
                        + b"etb",
                        3,
                    ),
                    "(2,)",
                )
            }
        ),
    ),
)
