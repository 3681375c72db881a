"""Sparse tensors: their indices must lie inside their size, or what reads them reads and writes outside of memory.

torch looks at it only with ``weights_only`` and in some versions. Source: ``torch/_utils.py``
(``_rebuild_sparse_tensor``, ``_validate_loaded_sparse_tensors``).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from math import prod

from hubclean.scanning.pickles.torch_tensors import RecordError, Storage, TensorRecord, shape_of, tensor_of
from hubclean.scanning.pickles.values import Items, Made, Pairs, Value, children

LONGEST = 4 << 20  # bytes of indices of one file that are read
_REBUILD = "torch._utils._rebuild_sparse_tensor"
_COO = "torch.sparse_coo"
# Layout -> which of the last two dimensions is compressed, and whether there are blocks.
_COMPRESSED = {
    "torch.sparse_csr": (-2, False),
    "torch.sparse_csc": (-1, False),
    "torch.sparse_bsr": (-2, True),
    "torch.sparse_bsc": (-1, True),
}
_FORMATS = {"int64": "q", "int32": "i"}

Read = Callable[[Storage], bytes | None]
"""The bytes of a storage; ``None`` if they cannot be had."""


def sparse_tensors(root: Value) -> Iterator[Made]:
    """Every call that makes a sparse tensor."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, (Items, Pairs, Made)) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Made) and value.path == _REBUILD:
                yield value
            todo.extend(children(value))


def check_sparse(root: Value, read: Read) -> tuple[list[tuple[str, int]], str]:
    """What is wrong with the sparse tensors of a checkpoint and where, and why not all were looked at."""
    faults: list[tuple[str, int]] = []
    left, unchecked = LONGEST, ""
    for made in sparse_tensors(root):
        try:
            rows = list(_bounds(made))
            for record, most in rows:
                left -= record.storage.nbytes
                body = read(record.storage) if left >= 0 else None
                if body is None:
                    unchecked = "the indices of its sparse tensors could not all be looked at"
                elif fault := _outside(record, most, body):
                    raise RecordError(f"the indices of a sparse tensor {fault}", made.offset)
        except RecordError as error:
            faults.append((str(error), made.offset))
        if len(faults) >= 5:
            break
    return faults, unchecked


def _bounds(made: Made) -> Iterator[tuple[TensorRecord, list[int]]]:
    """The tensors of indices, and what the numbers of each of their rows must lie below."""
    given = made.arguments.items if isinstance(made.arguments, Items) else []
    parts = given[1].items if len(given) == 2 and isinstance(given[1], Items) else []
    layout = _layout(given[0]) if given else ""
    if layout == _COO and len(parts) in (3, 4):
        indices, values, size = _tensor(parts[0], made), _tensor(parts[1], made), shape_of(parts[2], made.offset)
        counts = indices.size
        fits = len(counts) == 2 and counts[0] <= len(size) and values.size[:1] == counts[1:]
        if not fits or values.size[1:] != size[counts[0] :]:
            raise RecordError("a sparse tensor whose parts do not fit together", made.offset)
        yield indices, list(size[: counts[0]])
    elif layout in _COMPRESSED and len(parts) == 4:
        compressed, plain = _tensor(parts[0], made), _tensor(parts[1], made)
        values, size = _tensor(parts[2], made), shape_of(parts[3], made.offset)
        dimension, blocked = _COMPRESSED[layout]
        other = -3 - dimension
        if len(size) < 2 or (blocked and len(values.size) < 3) or not plain.size or not compressed.size:
            raise RecordError("a sparse tensor whose parts do not fit together", made.offset)
        block = max(values.size[other], 1) if blocked else 1
        yield plain, [-(-size[other] // block)]
        yield compressed, [plain.size[-1] + 1]
    else:
        raise RecordError(f"a sparse tensor of a layout that is not written out ({layout[:40] or '?'})", made.offset)


def _layout(value: Value) -> str:
    known = isinstance(value, Made) and value.path == "torch.serialization._get_layout"
    given = value.arguments.items if isinstance(value, Made) and isinstance(value.arguments, Items) else []
    return given[0] if known and len(given) == 1 and isinstance(given[0], str) else ""


def _tensor(value: Value, made: Made) -> TensorRecord:
    record = tensor_of(value)
    if record is None:
        raise RecordError("a sparse tensor whose parts are not written out", made.offset)
    return record


def _outside(record: TensorRecord, most: list[int], body: bytes) -> str:
    """What is wrong with indices; ``most`` for each row, or one for all."""
    if record.dtype not in _FORMATS:
        return f"are of the type {record.dtype}"
    numbers = array(_FORMATS[record.dtype])
    numbers.frombytes(body[: len(body) // record.itemsize * record.itemsize])
    if not prod(record.size):
        return ""
    rows = record.size[0] if len(most) > 1 or len(record.size) == 2 else 1
    for row in range(rows):
        limit = most[row] if row < len(most) else most[0]
        found = _row(record, numbers, row if len(record.size) > 1 else None)
        if found and not (min(found) >= 0 and max(found) < limit):
            return "lie outside of it"
    return ""


def _row(record: TensorRecord, numbers: array[int], row: int | None) -> array[int]:
    """The numbers of one row, or of a tensor of one dimension; of more dimensions all of its storage."""
    if len(record.size) > 2:
        return numbers
    count, step = record.size[-1], record.stride[-1]
    begin = record.offset + (row * record.stride[0] if row is not None else 0)
    return numbers[begin : begin + (count - 1) * step + 1 : step] if step else numbers[begin : begin + 1]
