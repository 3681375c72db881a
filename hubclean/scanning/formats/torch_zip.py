"""A zip that torch wrote: its folder, its pickle, its storage records, checked against each other.

Source: ``caffe2/serialize/inline_container.cc`` (the folder is that of the first member),
``torch/serialization.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubclean.errors import BudgetError
from hubclean.scanning.formats.zip_directory import Directory, ZipMember, local_header
from hubclean.scanning.pickles.sparse_tensors import check_sparse
from hubclean.scanning.pickles.streams import PickleFile, read_storages
from hubclean.scanning.pickles.torch_tensors import Storage
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import Source


@dataclass(frozen=True, slots=True)
class TorchZip:
    """Where torch finds things in a zip.

    Args:
        root: the folder with a slash, taken from the first member.
        pickle: the member ``data.pkl``.
        script: whether torch would load it as TorchScript.
    """

    root: str
    pickle: ZipMember
    script: bool

    @property
    def data(self) -> str:
        """What the names of storage records begin with."""
        return f"{self.root}data/"


def torch_zip(directory: Directory) -> TorchZip | None:
    """The torch side of a zip; ``None`` if torch would not find a pickle in it."""
    if not directory.members:
        return None
    folder, slash, _ = directory.members[0].name.partition("/")
    root = folder + slash if slash else ""
    by_name = {member.name.lower(): member for member in reversed(directory.members)}  # miniz ignores case
    found = by_name.get(f"{root}data.pkl".lower())
    return TorchZip(root, found, f"{root}constants.pkl".lower() in by_name) if found else None


def storage_members(directory: Directory, root: str, folder: str = "data") -> dict[str, ZipMember]:
    """Storage records by key; those of TorchScript's ``constants.pkl`` lie in a folder of its name."""
    prefix = f"{root}{folder}/"
    return {member.name.removeprefix(prefix): member for member in directory.members if member.name.startswith(prefix)}


def check_storages(
    found: PickleFile, members: dict[str, ZipMember], read: Callable[[ZipMember], bytes | None]
) -> tuple[dict[str, Storage], list[Problem], list[str]]:
    """The storages that the pickle uses; those whose record is missing or of another length, and sparse tensors whose
    indices, which are ``read``, lie outside; why not all was looked at."""
    by_key, problems = read_storages(found.walks[0])
    for key, storage in by_key.items():
        member = members.get(key)
        if member is None:
            problems.append(Problem("HC-PKL-008", f"the record of storage {key[:60]!r} is missing"))
        elif member.size != storage.nbytes:
            what = f"storage {key[:60]!r} needs {storage.nbytes:,} bytes, its record has {member.size:,}"
            problems.append(Problem("HC-PKL-008", what, member.header))
    if problems:
        return by_key, problems[:20], []
    faults, unchecked = check_sparse(found.walks[0].root, lambda storage: read(members[storage.key]))
    return by_key, [Problem("HC-PKL-008", what, offset) for what, offset in faults], [unchecked] if unchecked else []


def record_place(source: Source, member: ZipMember, limit: int) -> tuple[int, int]:
    """Where a storage's bytes lie in the file, for a reader of tensors.

    Args:
        limit: where the directory begins (``Directory.begin``).

    Raises:
        BrokenZip: no local header. BudgetError: the record is packed, so its bytes do not lie in the file as they are.
    """
    if member.method != 0:
        raise BudgetError(f"the record {member.name[:100]!r} is packed")
    _, begin = local_header(source, member, limit)
    return begin, begin + member.packed
