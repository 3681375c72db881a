"""Zips of torch: odd members, several pickles, comments, renamings, zips in zips, TorchScript, packages, exports."""

from __future__ import annotations

import io
import struct
import zipfile

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import zipped
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import EVIL, SYSTEM, WEIGHTS, name, number, table, torch_zip, whole

STORED = zipfile.ZIP_STORED
BAD = torch_zip(SYSTEM + b"0" + WEIGHTS)
GOOD = torch_zip(WEIGHTS)
LOAD = "torch.load(weights_only=False) calls os.system"
SCRIPT = "class Net(Module):\n  __parameters__ = []\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n"


def _weights(label: str, body: bytes, loader: str = LOAD) -> Case:
    return bad(label, loader, lambda: vit_bin(body))


def _directory_first() -> bytes:
    """Two roots; the directory names the evil one first, and torch takes the root of its first entry."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", STORED) as archive:
        for path, data in {"archive/data.pkl": whole(WEIGHTS), "archive/version": b"3\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), data)
        for path, data in {"other/data.pkl": EVIL, "other/version": b"3\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), data)
        archive.filelist.sort(key=lambda row: row.filename, reverse=True)
    return out.getvalue()


def _second_end() -> bytes:
    """A comment that holds a whole zip with offsets of its own: readers take the last end record."""
    inner, front = BAD, GOOD
    at = inner.rindex(b"PK\x05\x06")
    start, length = struct.unpack("<I", inner[at + 16 : at + 20])[0], len(inner)
    moved = bytearray(inner)
    shift = len(front)
    moved[at + 16 : at + 20] = struct.pack("<I", start + shift)
    place = start
    while moved[place : place + 4] == b"PK\x01\x02":
        lengths = struct.unpack("<HHH", moved[place + 28 : place + 34])
        offset = struct.unpack("<I", moved[place + 42 : place + 46])[0]
        moved[place + 42 : place + 46] = struct.pack("<I", offset + shift)
        place += 46 + sum(lengths)
    return front[:-2] + struct.pack("<H", length) + bytes(moved)


def _twice() -> bytes:
    """Two members of one name, the good one first."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", STORED) as archive:
        for data in (whole(WEIGHTS), EVIL):
            info = zipfile.ZipInfo("archive/data.pkl")
            archive.NameToInfo.pop(info.filename, None)
            archive.writestr(info, data)
        archive.writestr(zipfile.ZipInfo("archive/version"), b"3\n")
    return out.getvalue()


def _local_name(shown: str) -> bytes:
    """The local record is called otherwise than the directory says; the directory decides."""
    assert len(shown) == len("archive/data.pkl")
    return BAD.replace(b"archive/data.pkl", shown.encode(), 1)


def _script(body: str, constants: bytes = whole(b")")) -> bytes:
    held: dict[str, bytes | str] = {"constants.pkl": constants, "code/__torch__.py": SCRIPT + body, "version": "6\n"}
    data = whole(name("__torch__", "Net") + b")\x81" + table(training=b"\x89") + b"b")
    return zipped({f"net/{path}": value for path, value in ({"data.pkl": data} | held).items()}, STORED)


def _package(pickled: bytes) -> bytes:
    held: dict[str, bytes | str] = {
        ".data/version": "6\n",
        ".data/extern_modules": "torch\n",
        "model/model.pkl": pickled,
        "byteorder": "little",
    }
    return zipped({f"archive/{path}": data for path, data in held.items()}, STORED)


CASES: tuple[Case, ...] = (
    _weights("data-pkl", BAD),
    _weights("deflated", torch_zip(SYSTEM, compression=zipfile.ZIP_DEFLATED)),
    _weights("root-without-a-name", torch_zip(SYSTEM, root="x/y")),
    _weights(
        "capitals",
        BAD.replace(b"archive/data.pkl", b"archive/DATA.PKL"),
        "torch's reader (miniz) finds records whatever their case: torch.load(weights_only=False) calls os.system",
    ),
    _weights(
        "two-roots-evil-first-in-the-directory", _directory_first(), "the root is that of the directory's first entry"
    ),
    _weights(
        "second-end-record-in-the-comment", _second_end(), "the last end record counts: the evil directory is read"
    ),
    _weights("local-name-differs", _local_name("archive/data.png"), "torch reads by the directory's name: os.system"),
    _weights("data-pkl-twice", _twice(), "readers of the directory take the last of both: os.system"),
    bad(
        "picture-in-front",
        "torch.jit.load and zipfile find the directory from the end",
        lambda: vit({"preview.pt": b"\x89PNG\r\n\x1a\n" + bytes(40) + BAD}),
    ),
    bad(
        "zip-in-a-zip",
        "unpacked by whoever needs it, then torch.load(weights_only=False)",
        lambda: vit({"weights.zip": zipped({"run/model.pt": BAD})}),
    ),
    bad(
        "zip-in-a-zip-in-a-zip",
        "unpacked, then torch.load(weights_only=False)",
        lambda: vit({"all.zip": zipped({"a/inner.zip": zipped({"model.bin": BAD})})}),
    ),
    bad("renamed-png", "torch.load does not look at names: os.system", lambda: vit({"assets/logo.png": BAD})),
    bad("renamed-tokenizer", "torch.load does not look at names: os.system", lambda: vit({"spiece.model": BAD})),
    bad(
        "package-pickle",
        "torch.package.PackageImporter.load_pickle calls os.system",
        lambda: vit({"net.pt": _package(EVIL)}),
    ),
    bad(
        "script-saves-a-file",
        "torch.jit.load compiles it, calling forward writes a file",
        lambda: vit({"net.pt": _script('    _0 = torch.save(x, "/tmp/x")\n    return x\n')}),
    ),
    bad(
        "script-maps-a-file",
        "torch.jit.load, forward: maps any file of the machine",
        lambda: vit(
            {
                "net.pt": _script(
                    '    return torch.from_file("/etc/passwd", True, 4, dtype=0, layout=0, device="cpu",'
                    " pin_memory=False)\n"
                )
            }
        ),
    ),
    bad(
        "export-with-sample-inputs",
        "torch.export.load before 2.6 unpickles sample_inputs with weights_only=False",
        lambda: vit(
            {
                "model.pt2": zipped(
                    {
                        "m/archive_format": "pt2",
                        "m/archive_version": "0",
                        "m/models/model.json": "{}",
                        "m/data/sample_inputs/model.pt": BAD,
                    },
                    STORED,
                )
            }
        ),
    ),
    # twins
    twin("own-root", "torch.load", lambda: vit_bin(torch_zip(WEIGHTS, root="pytorch_model"))),
    twin(
        "serialization-id",
        "torch.load",
        lambda: vit_bin(
            torch_zip(
                WEIGHTS, {".data/serialization_id": b"1" * 40, ".format_version": b"1", ".storage_alignment": b"64"}
            )
        ),
    ),
    twin(
        "checkpoint-with-numbers",
        "torch.load",
        lambda: vit(
            {
                "last.ckpt": torch_zip(
                    table(epoch=number(3), global_step=number(900), state_dict=WEIGHTS, lr=b"G" + bytes(8))
                )
            }
        ),
    ),
    twin("weights-in-a-zip", "unpacked, torch.load", lambda: vit({"weights.zip": zipped({"run/model.pt": GOOD})})),
    twin(
        "pictures-in-a-zip",
        "unpacked",
        lambda: vit(
            {
                "samples.zip": zipped(
                    {
                        f"{side}/{index}.png": b"\x89PNG\r\n\x1a\n" + bytes(30)
                        for side in ("cat", "dog")
                        for index in range(3)
                    }
                )
            }
        ),
    ),
    twin("script", "torch.jit.load", lambda: vit({"net.pt": _script("    return torch.relu(x)\n")})),
    twin(
        "zip-with-a-comment", "unpacked", lambda: vit({"logs.zip": zipped({"log.txt": "loss 0.1\n"}, comment=b"run 7")})
    ),
)
