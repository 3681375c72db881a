"""joblib's pickles: a stream with the raw bytes of arrays between its opcodes, taken apart into pickles.

When joblib's reader has built a ``NumpyArrayWrapper`` it reads the array from where the stream stands; those of objects
are a second pickle there. Source: ``joblib/numpy_pickle.py`` (``NumpyArrayWrapper.read_array``), 0.10 to 1.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod

from hubclean.scanning.budget import spend
from hubclean.scanning.pickles.calls import Calls
from hubclean.scanning.pickles.opcodes import BrokenStream, NeedMore, read_ops
from hubclean.scanning.pickles.streams import PickleFile, read_pickles
from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Value
from hubclean.scanning.pickles.walk import MOST_OPCODES
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import BytesSource, Source

LARGEST = 16 << 20
MODULE, _WRAPPER = "joblib.numpy_pickle", "NumpyArrayWrapper"
_MOST_STREAMS = 64
_OWN = re.compile(rf"(calls|refers to) {re.escape(MODULE)}\.{_WRAPPER}[:,]")
_KIND = re.compile(r"[<>=|]?(?:([biufcmMSVUO])(\d{1,9})|([?bB]))")
_SEEN_BY_ALL = ("HC-PKL-001", "HC-PKL-002", "HC-PKL-003")


class _Other(Exception):
    """It is not as joblib writes it."""


class _Building(Calls):
    """A stack that keeps what was built last."""

    built: Value = None

    def _do_BUILD(self, argument: object) -> None:
        super()._do_BUILD(argument)
        self.built = self._top()


@dataclass(slots=True)
class _Part:
    """One pickle without the arrays' bytes, and where those were: place in it, number of bytes left out before."""

    body: bytearray = field(default_factory=bytearray)
    shifts: list[tuple[int, int]] = field(default_factory=list)

    def place(self, offset: int) -> int:
        """The place in the file of one in ``body``."""
        return offset + max((shift for at, shift in self.shifts if at <= offset), default=0)


def is_joblib(found: PickleFile) -> bool:
    """Whether a walked file names joblib's wrapper of arrays."""
    return any((use.module, use.name) == (MODULE, _WRAPPER) for row in found.walks for use in row.names)


def read_joblib(source: Source, allow: frozenset[str], plainly: PickleFile) -> PickleFile:
    """Walk the pickles of a joblib file; ``plainly`` is what a reader sees that knows no joblib.

    What that reader would call stays a problem. One that is not as joblib writes it is given back as read plainly.
    """
    if source.size > LARGEST:
        return plainly
    parts: list[_Part] = []
    try:
        stop = _take(source.at(0, source.size), 0, parts, [MOST_OPCODES])
    except (_Other, BrokenStream, NeedMore, ArithmeticError, LookupError, TypeError, ValueError):
        return plainly
    file = PickleFile(kind="a joblib pickle")
    for part in parts:
        found = read_pickles(BytesSource(bytes(part.body)), allow, MOST_OPCODES - file.opcodes)
        file.walks += found.walks
        rows = [Problem(row.rule, row.what, part.place(row.offset or 0)) for row in found.problems]
        file.problems += [row for row in rows if not _OWN.match(row.what)]
        file.unchecked = file.unchecked or found.unchecked
    if source.at(stop, source.size).strip(b"\0"):
        what = f"{source.size - stop:,} bytes behind the end of the pickle"
        file.problems.append(Problem("HC-PKL-006", what, stop))
    known = {row.what for row in file.problems}
    file.problems += [
        row
        for row in plainly.problems
        if row.rule in _SEEN_BY_ALL and row.what not in known and not _OWN.match(row.what)
    ]
    return file


def _take(data: bytes, start: int, parts: list[_Part], left: list[int]) -> int:
    """Take one pickle apart; where it ends."""
    part = _Part(shifts=[(0, start)])
    parts.append(part)
    if len(parts) > _MOST_STREAMS:
        raise _Other
    stack, at = _Building(lambda rule, what, offset: None), start
    while True:
        for position, name, argument, after in read_ops(data, at, len(data)):
            left[0] -= 1
            spend()
            if left[0] < 0 or stack.exhausted:
                raise _Other
            stack.step(name, argument, position)
            part.body += data[position:after]
            at = after
            if name == "STOP":
                return at
            if name == "BUILD" and _is_wrapper(stack.built):
                break
        assert isinstance(stack.built, Made)
        at = _behind(data, at, stack.built, parts, left)
        part.shifts.append((len(part.body), at - len(part.body)))


def _is_wrapper(value: Value) -> bool:
    maker = value.maker if isinstance(value, Made) else None
    return isinstance(maker, Name) and (maker.module, maker.name) == (MODULE, _WRAPPER)


def _behind(data: bytes, at: int, wrapper: Made, parts: list[_Part], left: list[int]) -> int:
    """Where the stream goes on behind the array's bytes."""
    if not isinstance(wrapper.state, Pairs):
        raise _Other
    spend(len(wrapper.state.pairs))
    state = {key: value for key, value in wrapper.state.pairs if isinstance(key, str)}
    shape, kind = state["shape"], _kind(state["dtype"])
    if not isinstance(shape, Items) or any(type(size) is not int or size < 0 for size in shape.items):
        raise _Other
    if kind is None:
        return _take(data, at, parts, left)
    if state.get("numpy_array_alignment_bytes") is not None:
        at += 1 + data[at]
    spend(len(shape.items))
    at += kind * prod(size for size in shape.items if isinstance(size, int))
    if at > len(data):
        raise _Other
    return at


def _kind(dtype: Value) -> int | None:
    """Bytes of one element; ``None`` for objects."""
    given = dtype.arguments.items if isinstance(dtype, Made) and isinstance(dtype.arguments, Items) else []
    match = _KIND.fullmatch(given[0]) if given and isinstance(given[0], str) else None
    if match is None or not isinstance(dtype, Made) or dtype.path != "numpy.dtype":
        raise _Other
    if match[3]:
        return 1
    if match[1] == "O":
        return None
    if match[1] == "V" and _holds_objects(dtype):
        raise _Other
    return int(match[2]) * (4 if match[1] == "U" else 1)


def _holds_objects(dtype: Made) -> bool:
    """Records with fields: their flags say whether one is an object; odd ones are told by the walk itself."""
    flags = dtype.state.items[-1] if isinstance(dtype.state, Items) and dtype.state.items else 0
    return not isinstance(flags, int) or bool(flags & 1)
