"""What torch keeps in a pickle: storages and the tensors that are views of them, read off a walked stream.

A tensor reader needs nothing else: ``tensors`` gives every tensor with its place in nested dicts, its storage's key,
dtype, offset, size and stride; the bytes lie in the record ``data/<key>`` of a zip, or behind a legacy file's streams.
Source: ``torch/_utils.py`` (``_rebuild_*``) and ``torch/serialization.py`` (``persistent_load``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Persistent, Value, children

# Storage class -> dtype in torch's words, bytes of an element. ``UntypedStorage`` counts bytes.
STORAGES: dict[str, tuple[str, int]] = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
    "ComplexDoubleStorage": ("complex128", 16),
    "ComplexFloatStorage": ("complex64", 8),
    "QUInt8Storage": ("quint8", 1),
    "QInt8Storage": ("qint8", 1),
    "QInt32Storage": ("qint32", 4),
    "QUInt4x2Storage": ("quint4x2", 1),
    "QUInt2x4Storage": ("quint2x4", 1),
    "UntypedStorage": ("bytes", 1),
}
_ITEMSIZES = dict(STORAGES.values()) | {
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "complex32": 4,
    "bcomplex32": 4,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "float4_e2m1fn_x2": 1,
    "bits8": 1,
    "bits16": 2,
}
_MOST_DIMENSIONS = 64
_LARGEST = 1 << 62
_VIEWS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_qtensor")
_TYPED_VIEW = "torch._utils._rebuild_tensor_v3"
_WRAPPERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_ORDERED = "collections.OrderedDict"
_SUBCLASS = "torch._tensor._rebuild_from_type_v2"


class RecordError(ValueError):
    """A storage or tensor is not written as torch writes it, or reaches outside its storage; ``offset`` says where."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage as a tensor refers to it: ``numel`` elements of ``dtype``, ``nbytes`` in the record ``key``."""

    key: str
    dtype: str
    numel: int
    nbytes: int
    location: str


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A strided view: element ``i`` of the storage counts in ``dtype``'s itemsize; strides are in elements.

    ``turned``: a loader would conjugate, negate or replace the numbers, or might, as its metadata or a state that is
    set on it are not plain.
    """

    storage: Storage
    dtype: str
    itemsize: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    turned: bool = False


def storage_of(persistent: Persistent) -> Storage:
    """Read ``("storage", type, key, location, numel[, view])``.

    Raises:
        RecordError: it is written otherwise.
    """
    at = persistent.offset
    parts = persistent.key.items if isinstance(persistent.key, Items) else []
    if len(parts) not in (5, 6) or text_of(parts[0]) != "storage":
        raise RecordError("a value kept outside the pickle that is no storage", at)
    kind, key, location, numel = parts[1], text_of(parts[2]), text_of(parts[3]), parts[4]
    if not isinstance(kind, Name) or kind.name not in STORAGES or not kind.allowed:
        raise RecordError("a storage of no known type", at)
    if key is None or location is None or not _count(numel) or not isinstance(numel, int):
        raise RecordError("a storage whose key or length is not written out", at)
    if len(parts) == 6 and parts[5] is not None:
        raise RecordError("a storage that is a view of another", at)
    dtype, itemsize = STORAGES[kind.name]
    return Storage(key, dtype, numel, numel * itemsize, location)


def tensor_of(made: Value) -> TensorRecord | None:
    """The tensor that a call of torch's rebuild functions makes; ``None`` if it makes something else.

    Raises:
        RecordError: its parts are not written out, or it reaches outside its storage.
    """
    grad: Value = None
    replaced = False
    for _ in range(8):  # parameters and subclasses wrap the call that makes the view
        if not isinstance(made, Made) or not isinstance(made.arguments, Items):
            return None
        parts = made.arguments.items
        replaced = replaced or _replaces(made.state)
        if made.path in _WRAPPERS and parts:
            grad, made = (parts[1] if len(parts) > 1 else None), parts[0]
            replaced = replaced or any(map(_replaces, parts[3:]))
        elif made.path == _SUBCLASS and len(parts) > 2:
            made = Made(parts[0], parts[2], made.offset)
            replaced = replaced or any(map(_replaces, parts[3:]))
        else:
            break
    else:
        raise RecordError("a tensor wrapped too often", 0)
    if made.path == "torch.Tensor" and isinstance(made.state, Items) and len(made.state.items) == 4:
        return _view(made, made.state.items, False, grad, replaced)  # as torch below 0.4 wrote them
    typed = made.path == _TYPED_VIEW
    if not typed and made.path not in _VIEWS:
        return None
    return _view(made, parts, typed, grad, replaced)


def _replaces(state: Value) -> bool:
    """Whether a state may give a tensor other numbers: loaders set all attributes in it, ``data`` and ``real`` too."""
    if isinstance(state, Items):
        return any(map(_replaces, state.items[:3])) or len(state.items) > 2
    return state is not None and not (isinstance(state, Pairs) and not state.pairs)


def _view(made: Made, parts: list[Value], typed: bool, grad: Value, replaced: bool) -> TensorRecord:
    if len(parts) < 4 or not isinstance(parts[0], Persistent):
        raise RecordError("a tensor without a storage", made.offset)
    storage = storage_of(parts[0])
    offset, size, stride = parts[1], shape_of(parts[2], made.offset), shape_of(parts[3], made.offset)
    if not isinstance(offset, int) or not _count(offset) or len(size) != len(stride):
        raise RecordError("a tensor whose offset, size or stride is not written out", made.offset)
    dtype = storage.dtype
    if typed:
        kind = parts[6] if len(parts) > 6 else None
        dtype = kind.name if isinstance(kind, Name) and kind.module == "torch" else ""
    if dtype not in _ITEMSIZES:
        raise RecordError(f"a tensor of the unknown type {dtype or '?'}", made.offset)
    itemsize = _ITEMSIZES[dtype]
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and (last + 1) * itemsize > storage.nbytes:
        raise RecordError(f"a tensor reaches outside its storage {storage.key}", made.offset)
    wants = grad if isinstance(grad, bool) else len(parts) > 4 and parts[4] is True
    turned = replaced or _turned(parts[7 if typed else 6 :])
    return TensorRecord(storage, dtype, itemsize, offset, size, stride, bool(wants), turned)


def _turned(metadata: list[Value]) -> bool:
    """Whether the metadata behind the arguments of the rebuild functions may name the conjugate or the negative."""
    return any(value is not None and not (isinstance(value, Pairs) and not value.pairs) for value in metadata)


def check_tensors(root: Value) -> None:
    """Look at every tensor that a loader would make, also inside other calls.

    Raises:
        RecordError: as ``tensor_of``.
    """
    seen: set[int] = set()
    todo = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, (Items, Pairs, Made)) and id(value) not in seen:
            seen.add(id(value))
            tensor_of(value)
            todo.extend(children(value))


def tensors(root: Value) -> Iterator[tuple[tuple[str, ...], TensorRecord]]:
    """Every tensor below ``root`` with the keys that lead to it (list places as numbers), in order of writing.

    Raises:
        RecordError: as ``tensor_of``.
    """
    seen: set[int] = set()
    todo: list[tuple[tuple[str, ...], Value]] = [((), root)]
    while todo:
        path, value = todo.pop()
        record = tensor_of(value)
        if record is not None:
            yield path, record
            continue
        if isinstance(value, (Items, Pairs, Made)):
            if id(value) in seen:
                continue
            seen.add(id(value))
            todo.extend(((*path, key), child) for key, child in reversed(entries(value)))


def entries(value: Value) -> list[tuple[str, Value]]:
    """The named parts of a dict, ordered dict, list or tuple; a key that is neither text nor count is left out."""
    if isinstance(value, Items):
        return [(str(place), child) for place, child in enumerate(value.items)]
    named = [(str(key) if type(key) is bool else text_of(key), child) for key, child in _pairs(value)]
    return [(key, child) for key, child in named if key is not None]


def nameless(value: Value) -> list[Value]:
    """The parts of a dict that ``entries`` leaves out."""
    return [child for key, child in _pairs(value) if type(key) is not bool and text_of(key) is None]


def _pairs(value: Value) -> list[tuple[Value, Value]]:
    """What a dict holds: of an ordered dict also what its call was given, as Python 2 writes it."""
    if not isinstance(value, Made):
        return value.pairs if isinstance(value, Pairs) else []
    given = value.arguments.items if isinstance(value.arguments, Items) and value.path == _ORDERED else []
    rows = given[0] if len(given) == 1 else None
    if isinstance(rows, Pairs):
        return [*rows.pairs, *value.pairs]
    items = [row.items for row in rows.items if isinstance(row, Items)] if isinstance(rows, Items) else []
    if given and (rows is None or len(items) != len(getattr(rows, "items", ())) or any(len(row) != 2 for row in items)):
        raise RecordError("an ordered dict whose contents are not written out", value.offset)
    return [*((row[0], row[1]) for row in items), *value.pairs]


def shape_of(value: Value, at: int) -> tuple[int, ...]:
    """A row of sizes or strides, or a ``torch.Size``.

    Raises:
        RecordError: it is none.
    """
    if isinstance(value, Made) and value.path == "torch.Size" and isinstance(value.arguments, Items):
        value = value.arguments.items[0] if value.arguments.items else None
    items = value.items if isinstance(value, Items) else None
    if items is None or len(items) > _MOST_DIMENSIONS or not all(_count(item) for item in items):
        raise RecordError("a tensor whose size or stride is not a short row of numbers", at)
    return tuple(item for item in items if isinstance(item, int))


def _count(value: Value) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def text_of(value: Value) -> str | None:
    """Text that Python 2 may have written as bytes. Old torch numbers its storage keys."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if type(value) is int and 0 <= value < _LARGEST:
        return str(value)
    return value if isinstance(value, str) else None
