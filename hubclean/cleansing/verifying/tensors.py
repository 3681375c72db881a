"""Two safetensors files, tensor by tensor: the same header, and which tensors have other bytes.

By range where that is little; a large file of a Hub is fetched into its cache, every byte checked against its commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hubclean.cleansing.verifying.files import BLOCK, fetched
from hubclean.errors import BudgetError
from hubclean.hub.repos import Repo, RepoEntry
from hubclean.scanning.formats.safetensors_header import (
    SafetensorsHeader,
    TensorEntry,
    header_bytes,
    parse_header,
)

BY_RANGE = 8 << 20  # bytes of one file of a Hub that are read by range; more is fetched whole

Reads = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Compared:
    """What of two files is the same.

    Args:
        header: why the headers are not byte for byte the same; empty if they are. Then nothing else was compared.
        tensors: names of all tensors.
        differing: of those with other bytes, the first byte of the file that differs.
        looked_at: names of the tensors whose bytes were compared.
    """

    header: str
    tensors: frozenset[str] = frozenset()
    differing: dict[str, int] = field(default_factory=dict)
    looked_at: frozenset[str] = frozenset()


def compared(
    one: tuple[Repo, RepoEntry], other: tuple[Repo, RepoEntry], changed: frozenset[str], same: bool = False
) -> Compared:
    """Compare a file with the original's.

    Args:
        one, other: where the files are, the original second.
        changed: tensors that may differ. Where the file is large and lies on a Hub, the others alone are compared, if
            they are little.
        same: both are known to have one hash, so that their headers are enough.

    Raises:
        FormatError, BudgetError: a header cannot be read. IntegrityError, TransportError: bytes cannot.
    """
    heads = [header_bytes(repo, entry) for repo, entry in (one, other)]
    headers = [parse_header(head, row[1].size) for head, row in zip(heads, (one, other), strict=True)]
    if heads[0] != heads[1]:
        return Compared(_difference(*headers))
    tensors = headers[0].tensors
    far = any(repo.ref.kind == "hub" for repo, _ in (one, other))
    names = frozenset(tensor.name for tensor in tensors)
    if same:
        return Compared("", names, {}, names)
    wanted = tensors
    if far and _size(tensors) > BY_RANGE:
        wanted = tuple(tensor for tensor in tensors if tensor.name not in changed)
    try:
        if far and _size(wanted) > BY_RANGE:
            raise BudgetError("too much to read by range")
        found = differing(wanted, *(_by_range(repo, entry) for repo, entry in (one, other)))
    except BudgetError:
        wanted = tensors
        found = differing(wanted, *(_on_disk(repo, entry) for repo, entry in (one, other)))
    return Compared("", names, found, frozenset(tensor.name for tensor in wanted))


def header_difference(one: tuple[Repo, RepoEntry], other: tuple[Repo, RepoEntry]) -> str:
    """Why two headers are not byte for byte the same; empty if they are. Raises as ``compared``."""
    heads = [header_bytes(repo, entry) for repo, entry in (one, other)]
    if heads[0] == heads[1] and one[1].size == other[1].size:
        return ""
    return _difference(*(parse_header(head, row[1].size) for head, row in zip(heads, (one, other), strict=True)))


def _size(tensors: Iterable[TensorEntry]) -> int:
    return sum(tensor.stop - tensor.start for tensor in tensors)


def _by_range(repo: Repo, entry: RepoEntry) -> Reads:
    return lambda start, stop: repo.read_range(entry.path, start, stop)


def _on_disk(repo: Repo, entry: RepoEntry) -> Reads:
    place: Path = fetched(repo, entry)

    def read(start: int, stop: int) -> bytes:
        with place.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    return read


def differing(tensors: tuple[TensorEntry, ...], one: Reads, other: Reads) -> dict[str, int]:
    """The tensors whose bytes differ, and where the first of these bytes is; in time linear in their bytes.

    Args:
        tensors: in the order of the file.
    """
    found: dict[str, int] = {}
    at = 0
    for start, stop in _blocks(tensors):
        left, right = one(start, stop), other(start, stop)
        while at < len(tensors) and tensors[at].stop <= start:
            at += 1
        row = at
        while left != right and row < len(tensors) and tensors[row].start < stop:
            tensor = tensors[row]
            low, high = max(tensor.start, start) - start, min(tensor.stop, stop) - start
            if tensor.name not in found and left[low:high] != right[low:high]:
                found[tensor.name] = start + low + _first(left[low:high], right[low:high])
            row += 1
    return found


def _blocks(tensors: Iterable[TensorEntry]) -> Iterator[tuple[int, int]]:
    """Runs of neighbouring tensors, cut into pieces of at most ``BLOCK`` bytes."""
    run: list[int] = []
    for tensor in tensors:
        if tensor.start == tensor.stop:
            continue
        if run and tensor.start == run[1]:
            run[1] = tensor.stop
            continue
        yield from _cut(run)
        run = [tensor.start, tensor.stop]
    yield from _cut(run)


def _cut(run: list[int]) -> Iterator[tuple[int, int]]:
    for start in range(run[0], run[1], BLOCK) if run else ():
        yield start, min(run[1], start + BLOCK)


def _first(one: bytes, other: bytes) -> int:
    """The first place at which two texts of the same length differ, which they do."""
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] != other[low:middle]:
            high = middle
        else:
            low = middle
    return low


def _difference(one: SafetensorsHeader, original: SafetensorsHeader) -> str:
    """In words what two headers do not share."""
    mine, theirs = ({tensor.name: tensor for tensor in header.tensors} for header in (one, original))
    if more := sorted(mine.keys() - theirs.keys()):
        return f"holds the tensor {more[0]!r}, which the original does not have"
    if lost := sorted(theirs.keys() - mine.keys()):
        return f"lacks the tensor {lost[0]!r} of the original"
    for name, tensor in sorted(mine.items()):
        known = theirs[name]
        if (tensor.dtype, tensor.shape) != (known.dtype, known.shape):
            was = f"{known.dtype} {list(known.shape)}"
            return f"holds {name!r} as {tensor.dtype} {list(tensor.shape)}, the original as {was}"
    return "has another header than the original"
