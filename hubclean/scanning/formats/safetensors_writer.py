"""Writes safetensors files tensor by tensor, so that no more than a piece of one is in memory.

Source: the format's README (github.com/huggingface/safetensors) and its ``serialize``: by alignment, then by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from hubclean.errors import FormatError
from hubclean.escaping import printable
from hubclean.scanning.formats.safetensors_header import MAX_HEADER, read_header_file

_BITS = {"C64": 8, "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}


class TensorSource(Protocol):
    """A tensor to be written: dtype in the format's words, shape, bytes in all, and the bytes in order."""

    @property
    def dtype(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def nbytes(self) -> int: ...

    def pieces(self) -> Iterator[bytes]: ...


def write_safetensors(
    place: Path, tensors: Mapping[str, TensorSource], metadata: Mapping[str, str] | None = None
) -> int:
    """Write a new file and read its header back with the reference parser.

    Returns:
        Its size in bytes.

    Raises:
        FormatError: a name is no text or the format's own, the header is too long, or a tensor gave other bytes than
            it said.
        OSError: the file cannot be written.
    """
    order = sorted(tensors, key=lambda name: (-_BITS.get(tensors[name].dtype, 1), name))
    head, at = {"__metadata__": dict(metadata)} if metadata else {}, 0
    for name in order:
        if name == "__metadata__" or not name.isprintable():
            raise FormatError(f"{printable(name, 80)!r} is no name for a tensor")
        row, stop = tensors[name], at + tensors[name].nbytes
        head[name] = {"dtype": row.dtype, "shape": list(row.shape), "data_offsets": [at, stop]}  # type: ignore[dict-item]
        at = stop
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise FormatError(f"the header would have {len(text):,} bytes, more than the {MAX_HEADER:,} that are read")
    with place.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            before = file.tell()
            for piece in tensors[name].pieces():
                file.write(piece)
            if file.tell() - before != tensors[name].nbytes:
                raise FormatError(f"the tensor {printable(name, 80)!r} is not as long as it says")
    return read_header_file(place).size
