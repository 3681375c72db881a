"""Tars, compressed streams and joblib once more."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib

import lz4.frame  # type: ignore[import-untyped]

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import npy, tarred, zipped
from benchmarks.scan.hostile.ordinary import vit
from benchmarks.scan.hostile.pickle_bytes import (
    EVIL,
    SYSTEM,
    WEIGHTS,
    dtype,
    joblib_array,
    name,
    number,
    table,
    text,
    torch_zip,
    whole,
)

READ = "joblib.load and pandas.read_pickle unpack it and call os.system"
EXTRACT = "tarfile.extractall before Python 3.14 (no filter)"


def _of(label: str, path: str, data: bytes, loader: str = READ) -> Case:
    return bad(label, loader, lambda: vit({path: data}))


def _gnu_name(path: str) -> bytes:
    """A long name of GNU tar (type L) in front of a header that shows another."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("../" + "a/../" * 30 + path)
        info.size = 2
        archive.addfile(info, io.BytesIO(b"x\n"))
    return out.getvalue()


def _device() -> bytes:
    info = tarfile.TarInfo("disk")
    info.type, info.devmajor, info.devminor = tarfile.BLKTYPE, 8, 0
    return tarred({}, links=(info,))


OLD = (
    name("joblib.numpy_pickle", "NDArrayWrapper")
    + b")\x81"
    + table(filename=text("../../../x.npy"), subclass=name("numpy", "ndarray"), allow_mmap=b"\x88")
    + b"b"
)
GROUPED = whole(
    table(a=joblib_array(bytes(16), (2, 2), dtype(), 16, 5), b=joblib_array(EVIL, (3,), dtype("O8", "|"), 16, 0)), 4
)
PLAIN = whole(table(m=joblib_array(bytes(16), (4,), dtype(), 16, 1), label=text("cat")), 4)

CASES: tuple[Case, ...] = (
    _of("lz4", "encoder.joblib", lz4.frame.compress(EVIL)),
    _of("lz4-under-another-name", "index.bin", lz4.frame.compress(b"cos\nsystem\n(S'true'\ntR.")),
    _of("bz2-in-gzip", "x.pkl.bz2.gz", gzip.compress(bz2.compress(EVIL), mtime=0), "unpacked twice, pickle.load"),
    _of(
        "xz-in-lz4-in-zlib", "deep.bin", zlib.compress(lz4.frame.compress(lzma.compress(EVIL))), "unpacked, pickle.load"
    ),
    _of(
        "second-xz-stream",
        "log.pkl.xz",
        lzma.compress(whole(number(1))) + lzma.compress(EVIL),
        "lzma.open joins the streams",
    ),
    _of(
        "gzip-with-name-and-comment",
        "w.gz",
        b"\x1f\x8b\x08\x1c"
        + bytes(6)
        + b"\x04\0abcdlogo.png\0a picture\0"
        + zlib.compress(EVIL)[2:-4]
        + zlib.crc32(EVIL).to_bytes(4, "little")
        + len(EVIL).to_bytes(4, "little"),
    ),
    _of(
        "npy-of-objects-in-gzip",
        "labels.npy.gz",
        gzip.compress(npy("'|O'", EVIL), mtime=0),
        "numpy.load(gzip.open(...), allow_pickle=True)",
    ),
    _of("zip-in-xz", "all.zip.xz", lzma.compress(zipped({"a/model.pt": torch_zip(SYSTEM)})), "unpacked, torch.load"),
    _of(
        "joblib-second-array-of-objects",
        "pipe.joblib",
        GROUPED,
        "joblib.load reads the first by bytes, unpickles the second",
    ),
    _of(
        "joblib-array-in-another-file",
        "old.joblib",
        whole(OLD, 2),
        "joblib before 0.10's format: numpy.load of the path, allow_pickle",
    ),
    _of("tar-bz2-with-a-pickle", "logs.tar.bz2", tarred({"run/loss.pkl": EVIL}, "w:bz2"), "unpacked, pickle.load"),
    _of(
        "tar-in-a-tar",
        "all.tar",
        tarred({"inner.tar.gz": tarred({"x.pt": torch_zip(SYSTEM)}, "w:gz")}),
        "unpacked, torch.load",
    ),
    _of("tar-long-name-leaves", "d.tar", _gnu_name(".profile"), f"{EXTRACT} writes above the folder"),
    _of("tar-device", "d.tar", _device(), f"{EXTRACT} as root makes a device that is the disk"),
    _of(
        "tar-windows-path", "d.tar", tarred({"..\\..\\x.bat": b"rem"}), f"on Windows {EXTRACT} writes two folders above"
    ),
    # twins
    twin(
        "lz4-labels", "joblib.load", lambda: vit({"labels.joblib": lz4.frame.compress(whole(table(cat=number(1)), 3))})
    ),
    twin("array-in-joblib", "joblib.load", lambda: vit({"stats.joblib": PLAIN})),
    twin(
        "tar-bz2-of-texts", "tarfile", lambda: vit({"ann.tar.bz2": tarred({"ann/1.xml": b"<annotation/>\n"}, "w:bz2")})
    ),
    twin(
        "shards-of-webdataset",
        "webdataset",
        lambda: vit(
            {
                f"train-{index:03}.tar": tarred(
                    {
                        f"{index}.jpg": b"\xff\xd8\xff\xe0" + bytes(40),
                        f"{index}.cls": b"1",
                        f"{index}.json": b'{"w": 3}',
                    }
                )
                for index in range(2)
            }
        ),
    ),
    twin(
        "gz-of-ubyte",
        "torchvision MNIST",
        lambda: vit({"train-labels-idx1-ubyte.gz": gzip.compress(b"\0\0\x08\x01\0\0\0\4\1\2\3\4", mtime=0)}),
    ),
    twin(
        "npy-gz",
        "numpy.load(gzip.open(...))",
        lambda: vit({"x.npy.gz": gzip.compress(npy("'<f4'", bytes(8), "(2,)"), mtime=0)}),
    ),
    twin(
        "model-in-tar-gz",
        "SageMaker",
        lambda: vit(
            {"model.tar.gz": tarred({"model.pth": torch_zip(WEIGHTS), "code/inference.py": b"import torch\n"}, "w:gz")}
        ),
    ),
)
