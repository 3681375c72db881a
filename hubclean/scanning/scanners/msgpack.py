"""Flax weights in MessagePack: maps, names and array headers by range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.msgpack import read_msgpack
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.reader import Reader
from hubclean.scanning.scanners import Judgement, each, format_of, judged, not_checked
from hubclean.scanning.sources import RepoSource


@dataclass(frozen=True)
class MsgpackWeights:
    """Walks every ``.msgpack``: the bytes of arrays are skipped, everything else is followed.

    HC-MSG-001 an extension type that Flax does not know, HC-PKL-001 to HC-PKL-008 for pickles inside, which
    msgpack-numpy would load. Flax itself builds arrays of plain numbers only.
    """

    name: ClassVar[str] = "msgpack"
    paper: ClassVar[str] = "flax/serialization.py; the MessagePack specification; msgpack_numpy.py (pickle.loads)"
    handles: ClassVar[frozenset[str]] = frozenset({".msgpack"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if not entry.size:
                return
            content = format_of(reader, entry)
            if content != "unknown":
                yield from not_checked(entry, f"named .msgpack, by its content: {content}")
                return
            found = read_msgpack(RepoSource(reader, entry), reader.allowed_names)
            if found.root not in ("map", "array") and not found.unchecked:
                found.unchecked.append("no MessagePack with anything in it")
            said = f"MessagePack: {found.values:,} values, {found.arrays:,} arrays as long as their shapes"
            yield from judged(entry, found.problems, found.unchecked, said)

        yield from each([entry for entry in files if suffix(entry.path) == ".msgpack"], judge)
