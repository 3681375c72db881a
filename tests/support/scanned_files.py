"""Files of our own making for the tests of the static scan, and one way to judge them."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from hubclean.hub.repos import LocalRepo, Repo
from hubclean.records import FileVerdict, Finding
from hubclean.registry import methods
from hubclean.scanning.engine import reader_of

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
TENSOR = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}


def safetensors(header: Any = TENSOR, data: bytes = bytes(4)) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def zipped(**members: bytes) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return body.getvalue()


def tarred() -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))
    return body.getvalue()


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for path, body in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    return folder


def judge(name: str, folder: Path, files: dict[str, bytes]) -> tuple[list[Finding], dict[str, FileVerdict]]:
    repo: Repo = LocalRepo(written(folder, files))
    rows = list(methods("scanners")[name]().scan(reader_of(repo, repo.files()), repo.files()))
    return (
        [row for row in rows if isinstance(row, Finding)],
        {row.path: row for row in rows if isinstance(row, FileVerdict)},
    )


def npy(descr: str, data: bytes = bytes(8), shape: str = "(1,)", version: int = 1) -> bytes:
    """A NumPy file whose header says what is given, word for word."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + data
