"""Zip archives: torch's, NumPy's and others; their structure, and each member by its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats import names
from hubclean.scanning.formats.packing import zip_series
from hubclean.scanning.formats.packing.zip_series import read_series
from hubclean.scanning.formats.zip_directory import has_end_record
from hubclean.scanning.formats.zip_found import ZipFile
from hubclean.scanning.formats.zip_members import UNCLAIMED, read_zip
from hubclean.scanning.pickles.advice import advised
from hubclean.scanning.pickles.allowed_names import source
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, judged, judged_inside, only_pickle
from hubclean.scanning.sources import SMALL, TAIL, RepoSource

# Code in them is code that somebody installs or reads, as if it lay beside the weights: nothing loads it with them.
_PLAIN_ARCHIVES = (".zip", ".whl", ".egg", ".jar", ".mar")
_LOADED = ("pickle", "unknown", "numpy", "executable", "tflite", "onnx", "safetensors", "gguf", "hdf5", "coreml")
MOST_OTHERS = 64  # large pictures, texts and films of which the end is read; each costs a request
_OTHER_LOADERS = {".mar": "TorchServe archive", ".nemo": "NeMo archive"}


@dataclass(frozen=True)
class Archives:
    """Reads the directory of every zip and judges its members; bytes of tensors are not read.

    HC-ZIP-001 to HC-ZIP-005, HC-NPY-001, HC-PKL-001 to HC-PKL-010 for pickles inside, HC-TS-001 and HC-TS-002 for the
    operators of TorchScript, HC-KER-001 to HC-KER-003, HC-H5-001 and HC-H5-002 for Keras's config and HDF5 files. For a
    torch zip the storage records must exist and be as long as the tensors say. A file that is something else at its
    start and a zip at its end is judged too.
    """

    name: ClassVar[str] = "archives"
    paper: ClassVar[str] = "PyTorch inline_container.cc; CVE-2025-1944, CVE-2025-1945, CVE-2025-10156, CVE-2026-24747"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        left = [MOST_OTHERS]

        def judge(entry: RepoEntry) -> Judgement:
            content = format_of(reader, entry)
            hidden = _looked_at_its_end(entry, content, left) and has_end_record(_end(reader, entry))
            if content == "zip" or hidden:
                yield from _read(reader, entry, files, hidden)

        yield from each(files, judge)


def _looked_at_its_end(entry: RepoEntry, content: str, left: list[int]) -> bool:
    """Whether something that is no zip at its start may be one at its end: what a loader opens, and whatever is small;
    ``left`` counts large files of other kinds."""
    if content in ("zip", "empty", "lfs-pointer"):
        return False
    if entry.size <= SMALL or content in _LOADED or names.suffix(entry.path) in names.PICKLE_NAMES:
        return True
    left[0] -= 1
    return left[0] >= 0


def _end(reader: Reader, entry: RepoEntry) -> bytes:
    """The last bytes, with room for the longest comment: a zip may lie in the tensors of safetensors, too."""
    return RepoSource(reader, entry).at(max(0, entry.size - TAIL), entry.size)


def _read(reader: Reader, entry: RepoEntry, files: tuple[RepoEntry, ...], hidden: bool) -> Judgement:
    ending = names.suffix(entry.path)
    read = read_series if ending in zip_series.ENDINGS else read_zip
    found = read(RepoSource(reader, entry), reader.allowed_names)
    if ending in _PLAIN_ARCHIVES and found.torch is None:
        found.problems = [replace(row, hostile=False) if row.rule == "HC-ZIP-005" else row for row in found.problems]
    rows: list[Finding | FileVerdict] = []
    if hidden and not (found.directory and found.directory.members):
        return  # the four bytes of an end record by chance
    if hidden and format_of(reader, entry) == "tflite":
        _labels(found)
    elif hidden:
        found.problems.append(Problem("HC-ZIP-004", "another format at its start, a zip at its end", 0))
    for name, body in found.packed:
        rows.extend(judged_inside(reader, entry, name, body))
    if (found.torch or found.pickles) and ending not in zip_series.ENDINGS:
        yield from only_pickle(reader, entry, files, "a torch zip" if found.torch else "a zip with pickles inside")
    if ending in _OTHER_LOADERS:
        found.unchecked.append(f"{_OTHER_LOADERS[ending]} is not checked by this version")
    for row in rows:
        if isinstance(row, Finding) and row.rule != "HC-INC-001":
            yield row
        elif isinstance(row, FileVerdict) and row.state == "unchecked":
            found.unchecked.append(row.reason)
    problems = advised(found.problems, found.torch is not None and not found.torch.script)
    yield from judged(entry, problems, found.unchecked, _said(found), found.pickled)


def _labels(found: ZipFile) -> None:
    """TFLite's own metadata writer puts labels into a zip behind the model, of which the scanner of TFLite speaks."""
    found.problems = [row for row in found.problems if (row.rule, row.offset) != ("HC-ZIP-004", 0)]
    if not any(row.rule == "HC-ZIP-004" for row in found.problems):
        found.unchecked = [reason for reason in found.unchecked if reason != UNCLAIMED]


def _said(found: ZipFile) -> str:
    parts = [
        f"{count} {word}"
        for count, word in (
            (found.pickles, f"pickles walked (names on the list of {source()})"),
            (found.storages, "storages as long as their tensors"),
            (found.arrays, "arrays of plain data"),
            (found.plain, "small records"),
            (found.scripts, "bytes of TorchScript whose operators reach no file"),
        )
        if count
    ]
    return "zip: " + (", ".join(parts) or "empty")
