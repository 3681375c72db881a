"""HDF5 files, Keras's among them: what they link to, and what their attributes have a loader run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.hdf5.findings import judge_hdf5
from hubclean.scanning.formats.hdf5.objects import user_block
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.reader import Reader
from hubclean.scanning.scanners import Judgement, each, format_of, judged, not_checked
from hubclean.scanning.sources import RepoSource

_NAMED = (".h5", ".hdf5", ".hdf", ".he5")


@dataclass(frozen=True)
class Hdf5Files:
    """Follows all links of every HDF5 file, by range, and reads its attributes; its numbers are not read.

    HC-H5-001 it reaches into another file, HC-H5-002 it holds pickled objects (and the rules of pickles for those),
    HC-KER-001 to HC-KER-003 what its Keras config would run or open.
    """

    name: ClassVar[str] = "hdf5"
    paper: ClassVar[str] = "HDF5 File Format Specification 3.0; CVE-2024-3660, CVE-2025-9905, CVE-2026-1669"
    handles: ClassVar[frozenset[str]] = frozenset({*_NAMED, ".keras", "hdf5"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        beside = frozenset(entry.path for entry in files)

        def judge(entry: RepoEntry) -> Judgement:
            content, source = format_of(reader, entry), RepoSource(reader, entry)
            named = suffix(entry.path) in _NAMED and content == "unknown"
            if named and not user_block(source):
                yield from not_checked(entry, f"named {suffix(entry.path)}, but nothing in it begins as HDF5 does")
            elif named or content == "hdf5":
                found = judge_hdf5(source, entry.path, beside, reader.allowed_names)
                yield from judged(entry, found.problems, found.unchecked, found.said)

        yield from each(files, judge)
