"""Tars, compressed streams, and what joblib writes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import tarred
from benchmarks.scan.hostile.ordinary import vit
from benchmarks.scan.hostile.pickle_bytes import (
    EVIL,
    SYSTEM,
    WEIGHTS,
    dtype,
    joblib_array,
    number,
    table,
    text,
    torch_zip,
    whole,
)

READ = "pandas.read_pickle and joblib.load unpack by name or magic, then call os.system"
JOBLIB = "joblib.load finds the compression by its magic and calls os.system"
EXTRACT = "tarfile.extractall before Python 3.14 (no filter)"


def _link(path: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info


def _pax(path: str) -> bytes:
    """The plain header shows an innocent path, the extended one another, which counts."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("notes.txt")
        info.size, info.pax_headers = 2, {"path": path}
        archive.addfile(info, io.BytesIO(b"x\n"))
    return out.getvalue()


def _of(label: str, path: str, data: bytes, loader: str = READ) -> Case:
    return bad(label, loader, lambda: vit({path: data}))


OBJECTS = whole(table(labels=joblib_array(EVIL, (1,), dtype("O", "|"), None)), 3)
SHIFTED = whole(table(x=joblib_array(b"N." + bytes(6), (2,), dtype(), 16, 9)) + SYSTEM + b"0", 3)
LEGACY_TAR = {"storages": EVIL, "tensors": whole(number(0)), "pickle": whole(b"}")}

CASES: tuple[Case, ...] = (
    _of("gzip", "scaler.pkl.gz", gzip.compress(EVIL, mtime=0)),
    _of("bz2", "scaler.pkl.bz2", bz2.compress(EVIL)),
    _of("xz", "scaler.pkl.xz", lzma.compress(EVIL)),
    _of("lzma-alone", "scaler.joblib", lzma.compress(EVIL, lzma.FORMAT_ALONE), JOBLIB),
    _of("zlib", "scaler.joblib", zlib.compress(EVIL), JOBLIB),
    _of("gzip-of-protocol-0", "vectorizer.pkl.gz", gzip.compress(b"cos\nsystem\n(S'true'\ntR.", mtime=0)),
    _of(
        "second-gzip-member",
        "log.pkl.gz",
        gzip.compress(whole(table(a=number(1))), mtime=0) + gzip.compress(EVIL, mtime=0),
        "gzip.open joins members: a reader of several pickles calls os.system",
    ),
    _of("gzip-under-another-name", "vocab.txt", gzip.compress(EVIL, mtime=0), JOBLIB),
    _of(
        "torch-zip-in-gzip",
        "model.pt.gz",
        gzip.compress(torch_zip(SYSTEM), mtime=0),
        "gunzip, torch.load(weights_only=False)",
    ),
    _of(
        "joblib-array-of-objects",
        "encoder.joblib",
        OBJECTS,
        "NumpyArrayWrapper.read unpickles what follows for objects",
    ),
    _of(
        "joblib-call-behind-padded-array",
        "encoder.joblib",
        SHIFTED,
        "joblib.load skips padding and bytes, then os.system",
    ),
    _of("joblib-object-array-compressed", "encoder.joblib", zlib.compress(OBJECTS), "the same, compressed"),
    _of("tar-with-a-pickle", "run.tar", tarred({"run/args.pkl": EVIL}), "unpacked, pickle.load"),
    _of(
        "tar-xz-with-weights", "run.tar.xz", tarred({"run/best.pt": torch_zip(SYSTEM)}, "w:xz"), "unpacked, torch.load"
    ),
    _of("tar-of-torch-0.1", "model_best.pth.tar", tarred(LEGACY_TAR), "torch.load's tar reader unpickles 'storages'"),
    _of("tar-member-leaves", "data.tar", tarred({"../../.bashrc": b"true\n"}), f"{EXTRACT} overwrites ~/.bashrc"),
    _of("tar-absolute", "data.tar.gz", tarred({"/tmp/x": b"true\n"}, "w:gz"), f"{EXTRACT} writes /tmp/x"),
    _of(
        "tar-file-through-a-link",
        "data.tar",
        tarred({}, links=(_link("out", "/tmp"), _link("out/x", "y"))),
        f"{EXTRACT} writes through the link",
    ),
    _of(
        "tar-hard-link-out",
        "data.tar",
        tarred({}, links=(_link("x", "../../etc/passwd", tarfile.LNKTYPE),)),
        f"{EXTRACT} links a file of the machine into the folder, where it is published or overwritten",
    ),
    _of("tar-path-in-extended-header", "data.tar", _pax("../../.profile"), f"{EXTRACT} writes ~/.profile"),
    _of(
        "webdataset-sample",
        "train-000.tar",
        tarred({"000.jpg": b"\xff\xd8\xff", "000.pyd": b"cos\nsystem\n(S'true'\ntR."}),
        "webdataset decodes .pyd, .pickle and .pth members by pickle and torch.load",
    ),
    bad(
        "nemo-archive",
        "NeMo's restore_from unpacks it, imports and makes what target says, and torch.loads the .ckpt",
        lambda: {
            "model.nemo": tarred(
                {"./model_config.yaml": b"target: os.system\n", "./model_weights.ckpt": torch_zip(SYSTEM)}
            )
        },
    ),
    # twins
    twin(
        "table-gz", "pandas.read_csv", lambda: vit({"metrics.csv.gz": gzip.compress(b"epoch,loss\n1,0.3\n", mtime=0)})
    ),
    twin(
        "lines-xz",
        "json.loads by line",
        lambda: vit({"preds.jsonl.xz": lzma.compress(b'{"id": 1, "label": "cat"}\n' * 9)}),
    ),
    twin("joblib-labels", "joblib.load", lambda: vit({"labels.joblib": zlib.compress(whole(table(cat=number(0)), 3))})),
    twin(
        "joblib-array",
        "joblib.load",
        lambda: vit({"means.joblib": whole(table(mean=joblib_array(bytes(8), (2,), dtype(), 16, 3)), 3)}),
    ),
    twin(
        "tar-of-pictures",
        "tarfile",
        lambda: vit({"val.tar": tarred({f"val/{index}.jpg": b"\xff\xd8\xff\xe0" + bytes(60) for index in range(4)})}),
    ),
    twin(
        "tar-gz-of-weights",
        "tar x, torch.load",
        lambda: vit({"run.tar.gz": tarred({"run/best.pt": torch_zip(WEIGHTS), "run/log.txt": b"ok\n"}, "w:gz")}),
    ),
    twin(
        "tar-with-inner-link",
        "tarfile",
        lambda: vit({"run.tar": tarred({"run/epoch_3.txt": b"x"}, links=(_link("run/last.txt", "epoch_3.txt"),))}),
    ),
    twin(
        "pickle-gz",
        "pandas.read_pickle",
        lambda: vit({"labels.pkl.gz": gzip.compress(whole(table(a=text("b"))), mtime=0)}),
    ),
)
