"""Zips: records that disagree, names for other systems, links, exports with libraries."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import zipped
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import EVIL, SYSTEM, WEIGHTS, number, table, torch_zip

STORED = zipfile.ZIP_STORED
BAD = torch_zip(SYSTEM + b"0" + WEIGHTS)
UNPACK = "unzip, 7-Zip and shutil.unpack_archive of the time"
ELF = b"\x7fELF\x02\x01\x01" + bytes(57)


def _zip(label: str, body: bytes, loader: str, path: str = "assets.zip") -> Case:
    return bad(label, loader, lambda: vit({path: body}))


def _unicode_path() -> bytes:
    """The extra field 0x7075 gives the member another name than the record."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        shown, real = b"notes.txt", b"../../.bashrc"
        info = zipfile.ZipInfo(shown.decode())
        data = b"\x01" + struct.pack("<I", zlib.crc32(shown)) + real
        info.extra = struct.pack("<HH", 0x7075, len(data)) + data
        archive.writestr(info, "true\n")
    return out.getvalue()


def _link() -> bytes:
    """A symbolic link and a file that is written through it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("out")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/tmp")
        archive.writestr("out/x", "true\n")
    return out.getvalue()


def _sizes_lie() -> bytes:
    """The local record says the pickle is two bytes long, the directory what it is."""
    body = bytearray(BAD)
    body[18:26] = struct.pack("<II", 2, 2)
    return bytes(body)


def _behind_bytes() -> bytes:
    """Offsets count from behind the front, as self-extracting archives have it."""
    return b"#!/bin/sh\nexit 0\n".ljust(4096, b"\n") + BAD


def _encrypted_flag() -> bytes:
    """The directory's flags say encrypted, the local record does not; torch does not look."""
    body = bytearray(BAD)
    at = body.index(b"PK\x01\x02")
    body[at + 8] |= 1
    return bytes(body)


CASES: tuple[Case, ...] = (
    _zip("path-by-extra-field", _unicode_path(), f"{UNPACK} (Info-ZIP) write ~/.bashrc"),
    _zip("file-through-a-link", _link(), "unzip writes /tmp/x"),
    _zip("drive-of-windows", zipped({"C:/Windows/x.txt": "a"}), f"on Windows {UNPACK} write there"),
    _zip("backslashes", zipped({"..\\..\\x.bat": "rem"}), f"on Windows {UNPACK} write two folders above"),
    _zip("up-in-the-middle", zipped({"data/../../../x": "a"}), f"{UNPACK} write above the folder"),
    _zip("deep-pickle", zipped({"a/b/c/d/state": EVIL}), "unpacked, pickle.load"),
    _zip(
        "torch-zip-inside-torch-zip",
        torch_zip(WEIGHTS, {"extra/model.pt": BAD}),
        "model.extra files are loaded by torch.load",
        "model.pt",
    ),
    bad(
        "deflated-and-renamed-root",
        "torch.load(weights_only=False): os.system",
        lambda: vit_bin(torch_zip(SYSTEM, root="data.pkl", compression=zipfile.ZIP_DEFLATED)),
    ),
    bad("sizes-lie-in-the-local-record", "torch reads by the directory: os.system", lambda: vit_bin(_sizes_lie())),
    bad(
        "encrypted-only-in-the-directory",
        "torch's reader does not look at the flag of stored data: os.system",
        lambda: vit_bin(_encrypted_flag()),
    ),
    _zip(
        "behind-a-script",
        _behind_bytes(),
        "zipfile corrects the offsets; torch.jit.load and unzip too",
        "installer.bin",
    ),
    bad(
        "export-with-a-library",
        "torch._inductor.aoti_load_package maps the library and runs it",
        lambda: vit(
            {
                "model.pt2": zipped(
                    {"m/archive_format": "pt2", "m/data/aotinductor/model/c.wrapper.so": ELF, "m/version": "0"}, STORED
                )
            }
        ),
    ),
    bad(
        "export-of-2.1",
        "torch.export.load of 2.1 to 2.3 calls torch.load(weights_only=False) on the state",
        lambda: vit(
            {
                "exported.pt2": zipped(
                    {"serialized_exported_program.json": "{}", "serialized_state_dict.json": BAD, "version": "1.1"},
                    STORED,
                )
            }
        ),
    ),
    # twins
    twin(
        "zip-with-folders",
        "unzip",
        lambda: vit({"labels.zip": zipped({"labels/": "", "labels/0.txt": "0 0.5 0.5\n", "classes.txt": "cat\n"})}),
    ),
    twin(
        "checkpoint-of-lightning",
        "torch.load",
        lambda: vit(
            {
                "epoch=3.ckpt": torch_zip(
                    table(
                        epoch=number(3), state_dict=WEIGHTS, callbacks=b"}", hyper_parameters=table(lr=b"G" + bytes(8))
                    )
                )
            }
        ),
    ),
    twin(
        "two-torch-zips",
        "torch.load",
        lambda: vit({"a.pt": torch_zip(WEIGHTS, root="a"), "b.pth": torch_zip(WEIGHTS, root="b")}),
    ),
    twin(
        "mac-zip",
        "unzip",
        lambda: vit({"demo.zip": zipped({"demo/a.txt": "a", "__MACOSX/demo/._a.txt": b"\0\5\x16\7" + bytes(40)})}),
    ),
)
