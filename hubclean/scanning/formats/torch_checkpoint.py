"""Tensors of a torch checkpoint on disk, read without unpickling: the records are walked, the bytes copied from where
they lie.

Source: ``torch/serialization.py`` (zip since 1.6, legacy before); ``torch_records`` says how tensors are written.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

from hubclean.errors import BudgetError, FormatError
from hubclean.escaping import printable
from hubclean.scanning.formats.content import sniff
from hubclean.scanning.formats.names import HEAD
from hubclean.scanning.formats.torch_zip import record_place, storage_members
from hubclean.scanning.formats.zip_directory import BrokenZip, local_header, member_content
from hubclean.scanning.formats.zip_found import ZipFile
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles.state_dict import ANYTHING, Sought, StateDict, state_dict
from hubclean.scanning.pickles.streams import PickleFile, read_pickles
from hubclean.scanning.pickles.torch_tensors import TensorRecord, storage_of
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import head

# torch's dtypes as safetensors names them; it has no others. Complex numbers stored conjugated are ``turned``.
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0", "complex64": "C64",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "bool": "BOOL",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
}  # fmt: skip
PIECE = 16 << 20  # bytes of a tensor that are held at a time


@dataclass(frozen=True)
class _MappedSource:
    """A file on disk, mapped: reading it costs no memory of its own."""

    data: mmap.mmap | bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def at(self, start: int, stop: int) -> bytes:
        return self.data[start:stop]


@dataclass(frozen=True)
class PickledTensor:
    """One tensor: its dtype as safetensors names it, its shape, and where its bytes come from.

    Raises:
        FormatError: by ``pieces``, the numbers are not laid out plainly and numpy is not installed.
    """

    record: TensorRecord
    data: mmap.mmap | bytes
    start: int
    swapped: bool

    @property
    def dtype(self) -> str:
        return DTYPES[self.record.dtype]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.record.size

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.record.itemsize

    @property
    def same_as(self) -> tuple[object, ...]:
        """Equal for tensors that are one tensor in memory."""
        record = self.record
        return record.storage.key, record.offset, record.size, record.stride, record.dtype

    def pieces(self) -> Iterator[bytes]:
        """The numbers in order, little-endian, at most 16 MiB at once where they lie in order already."""
        record = self.record
        begin = self.start + record.offset * record.itemsize
        if self.nbytes and not self.swapped and _in_order(record):
            for at in range(begin, begin + self.nbytes, PIECE):
                yield self.data[at : min(at + PIECE, begin + self.nbytes)]
        elif self.nbytes:
            yield from self._gathered(begin)

    def _gathered(self, begin: int) -> Iterator[bytes]:
        try:
            import numpy as np
        except ImportError as error:
            why = "a tensor is not laid out in order; numpy gathers it: pip install 'hubclean[models]'"
            raise FormatError(why) from error
        record = self.record
        kind = np.dtype(f"u{record.itemsize}").newbyteorder(">" if self.swapped else "<")
        reach = 1 + sum((n - 1) * step for n, step in zip(record.size, record.stride, strict=True))
        flat = np.frombuffer(self.data, kind, reach, begin)
        strides = tuple(step * record.itemsize for step in record.stride)
        view = np.lib.stride_tricks.as_strided(flat, record.size, strides, writeable=False)
        rows = view.reshape(1) if not view.ndim else view
        step = max(1, PIECE * len(rows) // max(self.nbytes, 1))
        for at in range(0, len(rows), step):
            yield np.ascontiguousarray(rows[at : at + step]).astype(kind.newbyteorder("<"), copy=False).tobytes()


def _in_order(record: TensorRecord) -> bool:
    expected = 1
    for size, step in zip(reversed(record.size), reversed(record.stride), strict=True):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


@dataclass(frozen=True)
class PickledWeights:
    """The tensors of a checkpoint by name, tied ones under each of their names, and what was left behind."""

    tensors: Mapping[str, PickledTensor]
    state: StateDict


@contextmanager
def open_pickled(
    place: Path, sought: Sought = ANYTHING, allow: frozenset[str] = frozenset(), unknown: bool = False
) -> Iterator[PickledWeights]:
    """Open a checkpoint in torch's zip or legacy format, for as long as the context lasts.

    Args:
        sought: what is known of the weights in it, as for ``state_dict``.
        allow: names besides the list that its pickle may hold; what they make is left behind.
        unknown: let every name pass that is not known to run anything. Nothing is built, so none of them is imported.

    Raises:
        FormatError: it is neither format, breaks a rule of the static scan (HC-PKL, HC-ZIP), holds no dict of tensors,
            one that safetensors cannot hold, or more than four times its own size written out.
    """
    with place.open("rb") as file:
        size = place.stat().st_size
        data: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        source = _MappedSource(data)
        try:
            pickle, starts, swapped = _places(source, allow, unknown)
            state = state_dict(pickle.root, sought)
            tensors = {
                name: PickledTensor(record, data, _start(name, record, starts, size, swapped), swapped)
                for name, record in state.tensors.items()
            }
            if sum(tensor.nbytes for tensor in tensors.values()) > 4 * size + PIECE:
                raise FormatError("written out, its tensors are more than four times as large as the file")
        except (BrokenZip, BudgetError, FormatError) as error:
            raise FormatError(f"{printable(place.name, 80)!r} cannot be read: {error}") from error
        yield PickledWeights(tensors, state)


def _places(source: _MappedSource, allow: frozenset[str], unknown: bool) -> tuple[PickleFile, dict[str, int], bool]:
    """The walked pickle, where each storage begins, and whether its numbers are big-endian."""
    kind = sniff(head(source, HEAD), source.size)
    if kind not in ("zip", "pickle"):
        raise FormatError(f"by its content it is no checkpoint of torch's but {kind}")
    if kind == "zip":
        found = read_zip(source, allow, unknown=unknown)
        _refuse(found.problems, [*found.unchecked, *(f"the packed member {name[:80]!r}" for name, _ in found.packed)])
        if found.torch is None or found.pickle is None or found.directory is None:
            raise FormatError("it is a zip, but not one that torch wrote")
        return found.pickle, *_zip_places(source, found)
    pickle = read_pickles(source, allow, unknown=unknown)
    _refuse(pickle.problems, [pickle.unchecked] if pickle.unchecked else [])
    if pickle.kind != "torch (legacy)":
        raise FormatError("it is a pickle without torch's records: there are no tensors in it")
    return pickle, _legacy_places(source, pickle), False


def _refuse(problems: list[Problem], unchecked: list[str]) -> None:
    for problem in problems:
        if problem.rule == "HC-PKL-010":
            continue  # plain records, left behind
        raise FormatError(f"{problem.rule}: {printable(problem.what, 300)}")
    for why in unchecked:
        raise FormatError(f"not checked: {printable(why, 300)}")


def _zip_places(source: _MappedSource, found: ZipFile) -> tuple[dict[str, int], bool]:
    assert found.torch
    assert found.pickle
    assert found.directory
    directory, root = found.directory, found.torch.root
    members = storage_members(directory, root)
    used = {storage_of(persistent).key for persistent in found.pickle.walks[0].persistents}
    starts = {key: record_place(source, members[key], directory.begin)[0] for key in used}
    wanted = f"{root}byteorder".lower()  # torch's reader of zips ignores case
    order = next((member for member in directory.members if member.name.lower() == wanted), None)
    # Files older than torch 2.1 do not say, and were little-endian wherever it mattered.
    said = b"little"
    if order:
        said = member_content(source, order, local_header(source, order, directory.begin)[1], directory.begin).strip()
    if said not in (b"little", b"big"):
        raise FormatError(f"its numbers are said to be {printable(repr(said[:20]))}-endian")
    return starts, said == b"big"


def _legacy_places(source: _MappedSource, pickle: PickleFile) -> dict[str, int]:
    """Storages lie one behind the other, each behind its number of elements; torch writes them little-endian anywhere.

    Source: ``THPStorage_readFileRaw`` in ``torch/csrc/serialization.cpp``.
    """
    starts, at = {}, pickle.data_start
    for key, storage in pickle.storages.items():
        (count,) = struct.unpack("<q", source.at(at, at + 8))
        if count != storage.numel:
            raise FormatError(f"HC-PKL-008: a storage of {storage.numel} elements says to have {count} (at byte {at})")
        starts[key] = at + 8
        at += 8 + storage.nbytes
    return starts


def _start(name: str, record: TensorRecord, starts: dict[str, int], size: int, swapped: bool) -> int:
    if record.dtype not in DTYPES:
        raise FormatError(f"the tensor {printable(name, 80)!r} has the dtype {record.dtype}, {_why_not(record.dtype)}")
    if record.turned:
        raise FormatError(f"the tensor {printable(name, 80)!r} is stored conjugated or negated, or with a state")
    if swapped and (record.dtype != record.storage.dtype or record.dtype == "complex64"):  # turned round by its type
        raise FormatError(f"the big-endian tensor {printable(name, 80)!r} lies in a storage of {record.storage.dtype}")
    start = starts[record.storage.key]
    if start + record.storage.nbytes > size:
        raise FormatError(f"the storage of {printable(name, 80)!r} goes on behind the end of the file")
    return start


def _why_not(dtype: str) -> str:
    """Why numbers of a type cannot be written, and what to do."""
    if dtype.startswith("q"):
        return "quantized numbers with scales beside them: dequantize the model in torch and save it as floats"
    return "which safetensors cannot hold: save the model without it, or with it in another dtype"
