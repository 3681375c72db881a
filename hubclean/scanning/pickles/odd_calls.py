"""What names on the list can be made to do by odd arguments: numpy takes layouts, torch and Python sizes, on trust.

A dtype that denies holding objects makes numpy follow pointers that the file wrote. So calls and states are
compared with what numpy itself writes. Source: numpy ``_core/src/multiarray``: ``descriptor.c``
(``arraydescr_reduce``, ``arraydescr_setstate``), ``methods.c`` (``array_setstate``), ``multiarraymodule.c``.
"""

from __future__ import annotations

import re
from math import prod

from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Persistent, Unknown, Value

LARGEST_BUFFER = 4096  # elements out of nothing; plain files give the bytes themselves
_ENCODE, _DTYPE, _ARRAY = "_codecs.encode", "numpy.dtype", "numpy.ndarray"
SUBCLASS = "torch._tensor._rebuild_from_type_v2"
_REBUILT = ("torch._utils._rebuild_", "torch._tensor._rebuild_")
_TENSORS = (*_REBUILT, "torch.nn.parameter.Parameter", "torch.Tensor")
_DEEPEST = 8  # calls inside calls
# What setting it gives a tensor other numbers, another class, or code that later runs.
_REPLACING_TEXT = """
data grad real imag names grad_fn _grad _base _backward_hooks _post_accumulate_grad_hooks _cdata H T mT mH
"""
_REPLACING = frozenset(_REPLACING_TEXT.split())
_MOST_PARTS = 64  # arguments, dimensions, fields: aliases of longer ones would cost time in every call
_LONGEST_TEXT = 256  # of what a dtype is called
_CODECS = ("latin1", "latin-1", "iso-8859-1", "ascii", "utf-8", "utf8")
_DICTS = ("collections.OrderedDict", "collections.Counter")
_KIND = re.compile(r"([?bBhHiIlLqQefdgFDG])|([biufcmMSUVO])(\d{0,9})", re.ASCII)
_OBJECTS, _TEXTS = 63, 8  # flags of dtypes, as numpy writes them; other plain ones have none
_OF_FIELDS = 0x98  # aligned, needs Python, needs initialising: nothing that makes memory an object
_WIDTHS = {"S": 1, "V": 1, "U": 4}

Odd = tuple[str, str] | None
"""A rule and what was seen, or nothing."""


def odd_call(made: Made) -> Odd:
    """What is odd about a call of a listed name."""
    path = made.path
    if not isinstance(made.arguments, Items) or made.arguments.kind != "tuple":
        return "HC-PKL-005", "the arguments of a call are no tuple"
    given = made.arguments.items
    if path == _ENCODE and not (len(given) == 2 and given[1] in _CODECS):
        return "HC-PKL-003", "_codecs.encode with another codec than the one that pickles use"
    if path == SUBCLASS:
        return _inner_odd(made, given)
    if path.endswith("._rebuild_parameter_with_state") and len(given) > 3:
        return _replaced(made, given[3])
    if path == "builtins.bytearray" or (path.startswith("torch.") and path.endswith(("Storage", "Tensor"))):
        most = _largest(given)
        return ("HC-PKL-007", f"{path} of {min(most, 1 << 64)} out of nothing") if most > LARGEST_BUFFER else None
    if path.startswith("numpy.") and not _written_by_numpy(path.rpartition(".")[2], given):
        return "HC-PKL-008", f"{path} is called as numpy never writes it: it may read or write memory while loading"
    return None


def inner_call(made: Made) -> Made | None:
    """The call that a listed name makes in turn of its arguments; ``None`` if it makes none that is written out."""
    given = made.arguments.items if isinstance(made.arguments, Items) else []
    if made.path != SUBCLASS or len(given) < 3 or not isinstance(given[0], Name) or not isinstance(given[2], Items):
        return None
    return Made(given[0], Items("tuple", given[2].items), made.offset)


def _inner_odd(made: Made, given: list[Value]) -> Odd:
    """What is odd about the calls inside a call: each is judged as if it stood alone."""
    state = given[3] if len(given) > 3 else None
    for _ in range(_DEEPEST):
        inner = inner_call(made)
        if inner is None or not isinstance(inner.maker, Name):
            return "HC-PKL-003", "what _rebuild_from_type_v2 is to call is not a name and its arguments written out"
        if inner.maker.allowed and not inner.maker.path.startswith(_REBUILT):
            return "HC-PKL-003", f"_rebuild_from_type_v2 is to call {inner.maker.path}, which makes no tensor"
        if odd := _replaced(inner, state):
            return odd
        if inner.path != SUBCLASS:
            return odd_call(inner)
        made = inner
        parts = inner.arguments.items if isinstance(inner.arguments, Items) else []
        state = parts[3] if len(parts) > 3 else None
    return "HC-PKL-007", f"calls inside calls, more than {_DEEPEST} deep"


def _replaced(made: Made, state: Value) -> Odd:
    """What is odd about the state of a tensor: plain attributes of its own are not, other numbers or a class are."""
    parts = state.items if isinstance(state, Items) and len(state.items) == 2 else [state]
    for part in parts:
        if part is None:
            continue
        if not isinstance(part, Pairs):
            return "HC-PKL-008", f"a state is set on what {made.path or 'a call'} made that torch never writes"
        for key, _ in part.pairs:
            if not isinstance(key, str) or key.startswith("__") or key in _REPLACING:
                shown = key[:40] if isinstance(key, str) else "a key that is no text"
                return (
                    "HC-PKL-008",
                    f"a state replaces {shown!r} of a tensor: other numbers or another class",
                )
    return None


def odd_state(made: Made, state: Value) -> Odd:
    """What is odd about the state that BUILD sets on what a listed name made."""
    name = made.path.rpartition(".")[2]
    if made.path.startswith(_TENSORS):
        legacy = isinstance(state, Items) and state.kind == "tuple" and 3 <= len(state.items) <= 5
        return None if legacy and _is_legacy(made, state) else _replaced(made, state)
    if made.path.startswith("torch."):
        return "HC-PKL-004", f"a state is set on {made.path}, which has none"
    if made.path in _DICTS and not isinstance(state, Pairs):
        return "HC-PKL-004", f"a state is set on {made.path} that is no dict"
    if not made.path.startswith("numpy."):
        return None
    parts = state.items if isinstance(state, Items) and state.kind == "tuple" else []
    if name == "dtype" and _plain_layout(made, parts):
        return None
    if name == "_reconstruct" and _plain_contents(parts):
        return None
    what = f"a state is set on what {made.path} made that numpy never writes: it may read or write memory while loading"
    return "HC-PKL-008", what


def _is_legacy(made: Made, state: Value) -> bool:
    """As torch below 0.4 wrote tensors: a storage and how it is looked at, whose bounds are looked at elsewhere; or of
    a parameter its tensor, hooks and whether it has a gradient."""
    parts = state.items if isinstance(state, Items) else []
    first = parts[0] if parts else None
    if made.path == "torch.Tensor":
        return isinstance(first, Persistent) and len(parts) == 4
    plain = all(not isinstance(part, (Name, Persistent, Unknown)) for part in parts[1:])
    return plain and (type(first) is bool or (isinstance(first, Made) and first.path.startswith(_TENSORS)))


def _largest(given: list[Value]) -> int:
    rows = [given, *(row.items for row in given[:_MOST_PARTS] if isinstance(row, Items))]
    if any(len(row) > _MOST_PARTS for row in rows):
        return 1 << 64
    return max((value for row in rows for value in row if isinstance(value, int)), default=0)


def _written_by_numpy(name: str, given: list[Value]) -> bool:
    if name == "dtype":
        return len(given) == 3 and _kind(_text(given[0])) is not None and not given[1] and given[2] in (True, 1)
    if name == "_reconstruct":
        shape = given[1].items if len(given) == 3 and isinstance(given[1], Items) else None
        kind = given[0] if given else None
        ours = isinstance(kind, Name) and (kind.path == _ARRAY or not kind.allowed)
        return ours and shape == [0] and (_is_encoded(given[2]) or _text(given[2]) == "b")
    if name == "scalar":
        return len(given) == 2 and _kind_of(given[0]) not in ("", "O")
    if name == "_frombuffer":
        return len(given) in (4, 5) and _kind_of(given[1]) not in ("", "O")
    return False  # an array is never made directly: with a buffer of objects it holds pointers from the file


def _plain_layout(made: Made, parts: list[Value]) -> bool:
    """``(version, order, sub-array, names, fields, bytes, alignment, flags[, unit])`` with true sizes and flags."""
    found = _kind_and_digits(made)
    numbers = [*parts[:1], *parts[5:8]]
    if found is None or len(parts) not in (8, 9) or not all(type(value) is int for value in numbers):
        return False
    (kind, digits), size, flags = found, parts[5], parts[7]
    if parts[0] not in (3, 4) or parts[6] not in (-1, 1, 2, 4, 8, 16, 32, 64) or (len(parts) == 9 and kind not in "mM"):
        return False
    if parts[2:5] != [None, None, None]:
        plain = isinstance(flags, int) and not flags & 0xFF & ~_OF_FIELDS
        return kind == "V" and isinstance(size, int) and plain and _fits(parts, size)
    expected = int(digits or 0) * _WIDTHS[kind] if kind in _WIDTHS else -1
    return size == expected and flags == (_OBJECTS if kind == "O" else _TEXTS if kind == "U" else 0)


def _fits(parts: list[Value], size: int) -> bool:
    """Whether a sub-array or all fields are plain numbers and texts that lie inside ``size`` bytes."""
    if isinstance(parts[2], Items) and len(parts[2].items) == 2 and parts[3:5] == [None, None]:
        base, shape = parts[2].items
        counts = shape.items if isinstance(shape, Items) else [shape]
        if len(counts) > _MOST_PARTS or not all(type(count) is int and count >= 0 for count in counts):
            return False
        one = _size(base)
        return one is not None and one * prod(count for count in counts if isinstance(count, int)) == size
    rows = [row for _, row in parts[4].pairs] if parts[2] is None and isinstance(parts[4], Pairs) else [None]
    if len(rows) > _MOST_PARTS:
        return False
    for row in rows:
        kind, offset = row.items[:2] if isinstance(row, Items) and len(row.items) in (2, 3) else (None, None)
        one = _size(kind)
        if one is None or type(offset) is not int or not 0 <= offset <= size - one:
            return False
    return True


def _size(value: Value) -> int | None:
    """Bytes of an element of a plain dtype; ``None`` if it is none, or holds objects."""
    found = _kind_and_digits(value)
    if found is None or found[0] == "O" or not found[1] or not isinstance(value, Made):
        return None
    if found[0] != "V":
        return int(found[1]) * (4 if found[0] == "U" else 1)
    state = value.state.items if isinstance(value.state, Items) else []
    return state[5] if len(state) > 5 and isinstance(state[5], int) else None


def _plain_contents(parts: list[Value]) -> bool:
    """``(version, shape, dtype, is fortran, bytes)``, or of objects a list of as many."""
    shape = parts[1].items if len(parts) == 5 and isinstance(parts[1], Items) else None
    if (
        shape is None
        or len(shape) > _MOST_PARTS
        or parts[0] != 1
        or not all(type(count) is int and count >= 0 for count in shape)
    ):
        return False
    kind, data = _kind_of(parts[2]), parts[4]
    if kind == "O":
        return isinstance(data, Items) and len(data.items) == prod(count for count in shape if isinstance(count, int))
    return bool(kind) and (isinstance(data, (bytes, str)) or _is_encoded(data))


def _is_encoded(value: Value) -> bool:
    """Bytes as protocols below 3 write them; or a buffer."""
    return isinstance(value, Made) and value.path in (_ENCODE, "builtins.bytearray", "")  # others are told as names


def _kind_of(value: Value) -> str:
    """The letter of a dtype, empty if it is none."""
    found = _kind_and_digits(value)
    return found[0] if found else ""


def _kind_and_digits(value: Value) -> tuple[str, str] | None:
    if not isinstance(value, Made) or value.path != _DTYPE or not isinstance(value.arguments, Items):
        return None
    return _kind(_text(value.arguments.items[0])) if value.arguments.items else None


def _kind(text: str) -> tuple[str, str] | None:
    match = _KIND.fullmatch(text)
    return (match[1] or match[2], match[3] or "") if match else None


def _text(value: Value) -> str:
    """Text, which Python 2 writes as bytes."""
    if not isinstance(value, (bytes, str)) or len(value) > _LONGEST_TEXT:
        return ""
    return value.decode("latin-1") if isinstance(value, bytes) else value
