"""What is found in a zip, and what finding it has cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubclean.scanning.budget import grow
from hubclean.scanning.formats.torch_zip import TorchZip
from hubclean.scanning.formats.zip_directory import Directory
from hubclean.scanning.pickles.streams import PickleFile
from hubclean.scanning.rules import Problem


@dataclass(slots=True)
class Work:
    """What one file has cost so far, with the archives inside it: bombs multiply what single members may cost.

    Args:
        read: members looked at. opcodes: walked. unpacked, described: bytes of whole members, of array headers.
        entries: of directories.
    """

    read: int = 0
    opcodes: int = 0
    unpacked: int = 0
    described: int = 0
    entries: int = 0

    def unpack(self, size: int) -> None:
        """A member of ``size`` bytes is taken out, and may be judged, too."""
        self.unpacked += size
        grow(size)


@dataclass(slots=True)
class ZipFile:
    """What was found in a zip.

    Args:
        problems: rules broken. unchecked: what could not be judged, and why.
        pickle: the walked ``data.pkl`` if torch would load it. torch: where torch finds things.
        packed: members that are compressed or a tar, with their bytes; who reads the zip must judge them.
        scripts: bytes of TorchScript's code.
        pickled: what could not be judged is the rest of a pickle.
        pickles, arrays, plain: how many members of each kind were looked at; ``storages`` are not read.
    """

    problems: list[Problem] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    torch: TorchZip | None = None
    pickle: PickleFile | None = None
    directory: Directory | None = None
    packed: list[tuple[str, bytes]] = field(default_factory=list)
    pickles: int = 0
    arrays: int = 0
    plain: int = 0
    storages: int = 0
    scripts: int = 0
    pickled: bool = False
