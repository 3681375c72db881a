"""Several zips one behind the other in one file: the shards that ``torch.distributed.checkpoint`` writes.

Source: ``torch/distributed/checkpoint/filesystem.py`` (every tensor is saved by itself, at an offset that ``.metadata``
tells).
"""

from __future__ import annotations

import struct
from dataclasses import replace

from hubclean.scanning.formats.zip_found import Work, ZipFile
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.sources import Part, Source

ENDINGS = (".distcp",)
MOST_PARTS = 32  # each costs two or three requests
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_TAIL = 22 + 20 + 56


def read_series(source: Source, allow: frozenset[str] = frozenset()) -> ZipFile:
    """Judge every zip of a series, from the last on; what is no zip stays unchecked.

    Raises:
        HubcleanError: nothing could be read.
    """
    file, work, stop = ZipFile(), Work(), source.size
    for _ in range(MOST_PARTS):
        start = _begin(source, stop)
        if start is None:
            break
        found = read_zip(Part(source, start, stop), allow, work=work)
        file.problems += [replace(row, offset=start + (row.offset or 0)) for row in found.problems]
        file.unchecked += found.unchecked
        file.packed += found.packed
        file.torch = file.torch or found.torch
        for name in ("pickles", "arrays", "plain", "storages", "scripts"):
            setattr(file, name, getattr(file, name) + getattr(found, name))
        stop = start
        if not stop:
            return file
    file.unchecked.append(f"the first {stop:,} bytes of a shard of a distributed checkpoint were not looked into")
    return file


def _begin(source: Source, stop: int) -> int | None:
    """Where the zip begins that ends at ``stop``; ``None`` if none ends there."""
    tail = source.at(max(0, stop - _TAIL), stop)
    if len(tail) < 22 or tail[-22:-18] != _END:
        return None
    size, offset = struct.unpack_from("<2L", tail, len(tail) - 10)
    end = stop - 22
    if len(tail) == _TAIL and tail[56:60] == _LOCATOR and tail[:4] == _END64:
        size, offset = struct.unpack_from("<2Q", tail, 40)
        end = stop - _TAIL
    start = end - size - offset
    return int(start) if 0 <= start < end else None
