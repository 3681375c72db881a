"""Walks one pickle stream on an abstract stack: what it refers to, what it would build, where it breaks a rule.

Nothing is built, imported or called. The walk goes on after a fault as far as opcodes can be told, because what comes
after may still be reached by a reader that sees no fault. Source: CPython's ``pickle._Unpickler`` and torch's
``_weights_only_unpickler`` (opcodes, BUILD and SETITEM targets of torch 2.10 and later).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hubclean.scanning.budget import spend
from hubclean.scanning.pickles.allowed_names import is_dangerous
from hubclean.scanning.pickles.called_names import runs
from hubclean.scanning.pickles.calls import Calls
from hubclean.scanning.pickles.libraries.known import makers
from hubclean.scanning.pickles.opcodes import BrokenStream, Loose, NeedMore, Op, SecondReader, read_ops
from hubclean.scanning.pickles.record_names import Use, is_plain
from hubclean.scanning.pickles.stack import CUT
from hubclean.scanning.pickles.values import Name, Persistent, Value, extent
from hubclean.scanning.rules import Problem

MOST_OPCODES = 500_000  # a checkpoint of 10,000 tensors has 400,000
MOST_EXPANDED = 1_000_000  # values when every alias is written out
DEEPEST = 500
_BATCH = 1024  # opcodes that are counted at once
REFUSED = "do not load it; `hubclean convert` refuses it too"
_MOST_NAMES, _MOST_NOTED = 1000, 50
_FAILURES = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError, MemoryError)
# torch's 34 opcodes, what protocols 3 to 5 write for the same values, and the constants of protocols 0 and 1. What is
# left out calls, copies or fetches in ways that plain data never needs.
ACCEPTED_TEXT = """
PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING
BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE
BINUNICODE8 EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM
SETITEMS EMPTY_SET ADDITEMS FROZENSET GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL
REDUCE NEWOBJ BUILD BINPERSID
"""
ACCEPTED = frozenset(ACCEPTED_TEXT.split())


@dataclass(frozen=True, slots=True)
class NameUse:
    """A name that a stream refers to: how often, where first, and whether it is called or handed to a call.

    ``plain``: it is of the second list and only makes plain records. ``refers``: what it makes is a mere reference.
    ``opens``: it is called with a path or a way to open one.
    """

    module: str
    name: str
    count: int
    offset: int
    called: bool
    allowed: bool
    plain: bool = False
    refers: bool = False
    opens: bool = False


@dataclass(slots=True)
class Walk:
    """What one stream holds.

    Args:
        root: the value it describes; ``Unknown`` where it broke.
        names: every name it refers to, by (module, name).
        persistents: the values kept outside, in order.
        problems: rules broken, without those on names (see ``name_problems``).
        start, stop: its bytes; ``stop`` is behind STOP, or where it broke. complete: whether STOP was reached.
        imported: whether a name is looked up while any reader still reads. called: whether one is called or changed.
        stopped: whether it has a fault at which every reader stops.
        inner: whole torch files inside the stream, each with the offset of the call that reads it.
        inside: constants that begin as pickles do.
    """

    root: Value
    names: tuple[NameUse, ...]
    persistents: tuple[Persistent, ...]
    problems: tuple[Problem, ...]
    start: int
    stop: int
    complete: bool
    called: bool
    opcodes: int = 0
    imported: bool = False
    stopped: bool = False
    inner: tuple[tuple[int, bytes], ...] = ()
    inside: tuple[tuple[int, bytes], ...] = ()

    def name_problems(self, allow: frozenset[str] = frozenset(), unknown: bool = False) -> tuple[Problem, ...]:
        """One problem for each name that is neither on the list nor in ``allow`` (``module.name``, exact), and one for
        all of the second list. ``unknown`` lets all pass that are not known to run anything."""
        rows = []
        plain = [use for use in self.names if use.plain and not use.allowed]
        for use in self.names:
            dangerous, path = is_dangerous(use.module, use.name), f"{use.module}.{use.name}"
            if use.allowed or use.plain or (path in allow and not dangerous and "." not in use.name):
                continue
            times = f", {use.count} times" if use.count > 1 else ""
            if dangerous and use.called and not use.refers:
                what = f"calls {path}{times}: it runs code or commands, or reaches network, files or other names"
                rows.append(Problem("HC-PKL-001", what, use.offset))
            elif not unknown or (dangerous and not use.refers):
                what = f"refers to {path}{times}, which is not on the list of names that weights need"
                # Classes hold the state of a training; a foreign function that is called may do anything, a class that
                # is given a path opens it, and a function that runs commands is there to be called later.
                called = use.called and (use.opens or _is_function(use.name))
                foreign = (called and (use.module, use.name) not in makers()) or runs(use.module, use.name)
                said = REFUSED if dangerous and not use.refers else ""
                rows.append(Problem("HC-PKL-002", what, use.offset, said, hostile=foreign))
        if plain:
            shown = ", ".join(dict.fromkeys(f"{use.module}.{use.name}" for use in plain[:3]))
            more = f" and {len(plain) - 3} more" if len(plain) > 3 else ""
            what = f"holds plain records besides tensors: {shown}{more}"
            rows.append(Problem("HC-PKL-010", what, plain[0].offset))
        return tuple(rows)


def _is_function(name: str) -> bool:
    """Whether a name is spelled as functions are, and not as classes."""
    return not name.lstrip("_")[:1].isupper()


@dataclass(slots=True)
class _Frames:
    """Protocol 4's frames: each ends on an opcode boundary, none begins inside another, none goes beyond STOP."""

    end: int | None = None

    def fault(self, op: Op, size: int) -> str | None:
        position, name, argument, after = op
        if self.end is not None and position >= self.end:
            self.end = None
        if name == "FRAME" and isinstance(argument, int):
            if self.end is not None:
                return "a frame begins inside another"
            self.end = after + argument
            return "a frame ends behind the file" if self.end > size else None
        if self.end is None:
            return None
        if after > self.end:
            self.end = None
            return f"a frame ends inside {name}: readers see different opcodes behind it"
        return "a frame goes on behind STOP" if name == "STOP" and after != self.end else None


@dataclass(slots=True)
class _Watch:
    problems: dict[tuple[str, str], Problem] = field(default_factory=dict)

    def note(self, rule: str, what: str, offset: int, hostile: bool | None = None) -> None:
        if len(self.problems) < _MOST_NOTED + _MOST_NOTED * (rule == "HC-PKL-003"):  # noise must not hide the worst
            self.problems.setdefault((rule, what), Problem(rule, what, offset, hostile=hostile))


class Walker:
    """Walks one stream, in parts where its bytes come in parts: what was walked is not walked again.

    Args:
        start: where the stream begins. size: bytes of the whole file. seconds: time after which it raises.
        most: opcodes after which it breaks off with a problem, ``MOST_OPCODES`` if not given.
        to_fault: end at the first fault at which every reader stops, instead of going on.
    """

    def __init__(self, start: int, size: int, *, most: int | None = None, to_fault: bool = False) -> None:
        self.start, self.size, self._to_fault = start, size, to_fault
        self._most = MOST_OPCODES if most is None else most
        self._watch, self._frames = _Watch(), _Frames()
        self._stack = Calls(self._watch.note)
        self._count, self._stop, self._complete, self._agree = 0, start, False, True

    def run(self, data: bytes) -> None:
        """Go on with ``data``, the file from its first byte on, as far as it was read.

        Raises:
            NeedMore: the stream goes on behind ``data``, though not behind the file.
            BudgetError: it took more operations, or more time, than it may.
        """
        try:
            self._ops(data)
        except BrokenStream as error:
            self._watch.note("HC-PKL-005", f"the stream is broken: {error}", error.offset)
            self._stack.stopped = True
        except _FAILURES as error:
            self._watch.note("HC-PKL-005", f"the walk over the stream failed: {type(error).__name__}", self._stop)
            self._complete = False

    def _ops(self, data: bytes) -> None:
        watch, frames, stack, second = self._watch, self._frames, self._stack, SecondReader(data, self._stop)
        for op in read_ops(data, self._stop, self.size):
            position, name, argument, after = op
            if self._count >= self._most:
                watch.note("HC-PKL-007", f"more than {MOST_OPCODES:,} opcodes; {CUT}", position)
                return
            self._count += 1
            self._stop = after
            if not self._count % _BATCH:
                spend(_BATCH)
            if self._agree and (differ := second.agrees(op)):
                self._agree = False
                watch.note("HC-PKL-005", f"two readers disagree: {differ}", position, hostile=True)
            if (frames.end is not None or name == "FRAME") and (fault := frames.fault(op, self.size)):
                watch.note("HC-PKL-005", fault, position, hostile=True)
            if name not in ACCEPTED:
                watch.note("HC-PKL-004", f"opcode {name}, which plain weights never need", position)
            if name == "PROTO":
                _protocol(op, self.start, stack, watch)
            if isinstance(argument, Loose):
                watch.note("HC-PKL-005", argument.why, position)
                argument = argument.value
            stack.step(name, argument, position)
            if stack.exhausted or (self._to_fault and stack.stopped):
                return
        self._complete = True

    def walked(self) -> Walk:
        """What was found so far."""
        stack = self._stack
        _expansion(stack, self._count, self.start, self._watch)
        return Walk(
            root=stack.result,
            names=_uses(stack, self._watch),
            persistents=tuple(stack.persistents),
            problems=tuple(self._watch.problems.values()),
            start=self.start,
            stop=self._stop,
            complete=self._complete,
            called=stack.called,
            opcodes=self._count,
            imported=stack.imported,
            stopped=stack.stopped,
            inner=tuple(stack.inner),
            inside=tuple(stack.inside),
        )


def walk(data: bytes, start: int, size: int, *, partial: bool = False, to_fault: bool = False) -> Walk:
    """Walk the stream that begins at ``start`` and of which all that was read is at hand.

    Args:
        data: the file from its first byte on, as far as it was read.
        size: bytes of the whole file.
        partial: walk what is there and say so by ``complete`` instead of asking for more.
        to_fault: as for ``Walker``.

    Raises:
        NeedMore, BudgetError: as ``Walker.run``.
    """
    walker = Walker(start, size, to_fault=to_fault)
    try:
        walker.run(data)
    except NeedMore:
        if not partial:
            raise
    return walker.walked()


def _protocol(op: Op, start: int, stack: Calls, watch: _Watch) -> None:
    position, _, argument, _ = op
    if not isinstance(argument, int):
        return
    if position != start:
        watch.note("HC-PKL-005", "PROTO stands inside the stream, not at its start", position)
    if argument > 5:
        watch.note("HC-PKL-005", f"protocol {argument} does not exist", position)
    stack.protocol = argument


def _expansion(stack: Calls, opcodes: int, start: int, watch: _Watch) -> None:
    expanded, depth = extent(stack.remaining(), MOST_EXPANDED + 1, DEEPEST + 2)
    if expanded > MOST_EXPANDED or (expanded > 100_000 and expanded > 100 * opcodes):
        watch.note("HC-PKL-007", f"{opcodes} opcodes expand to {expanded:,} values or more through aliases", start)
    if depth > DEEPEST + 1:
        watch.note("HC-PKL-007", f"nested deeper than {DEEPEST} levels", start)


def _uses(stack: Calls, watch: _Watch) -> tuple[NameUse, ...]:
    rows: dict[tuple[str, str], list[Name]] = {}
    for name in stack.names:
        rows.setdefault((name.module, name.name), []).append(name)
    if len(rows) > _MOST_NAMES:
        watch.note("HC-PKL-007", f"{len(rows)} different names", stack.names[0].offset)
        rest = {pair for pair in list(rows)[_MOST_NAMES:] if not is_dangerous(*pair)}
        rows = {pair: uses for pair, uses in rows.items() if pair not in rest}
    return tuple(
        NameUse(
            module,
            name,
            len(uses),
            uses[0].offset,
            any(id(use) in stack.called_names for use in uses),
            all(use.allowed for use in uses),
            all(is_plain(use.kind, stack.uses.get(id(use))) for use in uses),
            all(stack.uses.get(id(use)) in (Use.PROPER, Use.REFERS) for use in uses),
            any(id(use) in stack.openers for use in uses),
        )
        for (module, name), uses in list(rows.items())[: 2 * _MOST_NAMES]
    )
