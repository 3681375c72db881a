"""The abstract machine of a pickle: stack, marks and memo, opcode by opcode, on inert values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod

from hubclean.scanning.pickles.record_names import takes_items, takes_pairs
from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Persistent, Unknown, Value

MOST_PUSHED = 250_000  # names, containers and aliases; a checkpoint of 10,000 tensors has 160,000
MOST_MARKS = 1000
MOST_NAMES = 60_000
MOST_IN_MEMO = 1_000_000

Note = Callable[[str, str, int], None]
DICTS = ("collections.OrderedDict", "collections.Counter")
_CONSTANTS: dict[str, Value] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSHED_TEXT = """
INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES
SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
"""
_PUSHED = frozenset(_PUSHED_TEXT.split())
_TEXTS = frozenset(
    name for name in _PUSHED if "STRING" in name or "BYTES" in name or "UNICODE" in name or "ARRAY" in name
)
CUT = "the rest was not looked at"
MOST_INSIDE, _SHORTEST = 10_000, 12
_BEGINS = (*"\x80c(]})", 0x80, *b"c(]})")  # of pickles, as text and as bytes
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x04\x22\x4d\x18", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
BASE64 = b"gA"  # how a pickle of protocol 2 or later begins in it
_BEGINNINGS = (*_PACKED, BASE64)
_TEXT_BEGINNINGS = tuple(begin.decode("latin-1") for begin in _BEGINNINGS)


_STEPS: dict[type, tuple[tuple[str, str], ...]] = {}  # the opcodes that a class does, and the names of its methods


class Stack:
    """Does what an unpickler would do to its stack; ``note(rule, what, offset)`` is told of what must not be.

    Attributes:
        result: what STOP returned; ``Unknown`` until then.
        names: every reference, in order.
        inside: constants that begin as pickles do, or as what pickles are packed in, and where.
        exhausted: a budget is used up; the walk must end.
        stopped: there was a fault at which every reader in use stops (CPython's two, torch's): an empty stack or mark,
            a memo entry that was never set, a name that is none, a call of a constant.
    """

    def __init__(self, note: Note) -> None:
        self._note = note
        self._stack: list[Value] = []
        self._marks: list[list[Value]] = []
        self._memo: dict[int, Value] = {}
        self._at = self._pushed = 0
        self.protocol = 0
        self.result: Value = Unknown()
        self.names: list[Name] = []
        self.inside: list[tuple[int, bytes]] = []
        self.exhausted = self.stopped = False
        self._passed_over = False  # a memo entry was not kept, though readers keep it
        kind = type(self)
        if kind not in _STEPS:
            names = [name for name in dir(kind) if name.startswith("_do_")]
            _STEPS[kind] = tuple((name.removeprefix("_do_"), name) for name in names)
        self._steps = {opcode: getattr(self, name) for opcode, name in _STEPS[kind]}

    def remaining(self) -> Items:
        """The values that are left when the walk ends: the result, and what else was on the stack."""
        return Items("list", [self.result, *self._stack, *(value for level in self._marks for value in level)])

    def step(self, name: str, argument: object, offset: int) -> None:
        """One opcode."""
        self._at = offset
        if name in _PUSHED:
            self._stack.append(argument)  # type: ignore[arg-type]  # a constant
            if name in _TEXTS and isinstance(argument, (str, bytes)) and len(argument) >= _SHORTEST:
                self._look_inside(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in self._steps:
            self._steps[name](argument)
        if self._pushed > MOST_PUSHED or len(self._marks) > MOST_MARKS or len(self.names) > MOST_NAMES:
            self._say("HC-PKL-007", f"values, names or marks beyond all need; {CUT}")
            self.exhausted = True

    def _look_inside(self, text: str | bytes) -> None:
        """Keep a constant that begins as a pickle does and may name something, or one that is compressed or written in
        base64: loaders that unpickle the bytes of a pickle exist."""
        if isinstance(text, str):
            packed, named = text.startswith(_TEXT_BEGINNINGS), "\n" in text or "\x93" in text
        else:
            packed, named = text.startswith(_BEGINNINGS), b"\n" in text or b"\x93" in text
        if not packed and not (named and text[0] in _BEGINS):
            return
        if len(self.inside) > MOST_INSIDE:  # one more than are looked at says that there are more
            return
        try:
            self.inside.append((self._at, text if isinstance(text, bytes) else text.encode("latin-1")))
        except UnicodeEncodeError:
            return  # no bytes are written so

    def _say(self, rule: str, what: str) -> None:
        self._note(rule, what, self._at)

    def _pop(self) -> Value:
        if self._stack:
            return self._stack.pop()
        self._say("HC-PKL-005", "an opcode takes from an empty stack or from below its mark")
        self.stopped = True
        return Unknown()

    def _top(self) -> Value:
        if not self._stack:
            self._stack.append(self._pop())
        return self._stack[-1]

    def _marked(self) -> list[Value]:
        if not self._marks:
            self._say("HC-PKL-005", "an opcode looks for a mark that is not there")
            self.stopped = True
            return []
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _push(self, value: Value) -> None:
        self._pushed += 1
        self._stack.append(value)

    def _change(self, target: Value) -> None:
        """Told of what is changed in place: ``Calls`` says what that may do."""

    # containers

    def _do_MARK(self, _: object) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _do_EMPTY_LIST(self, _: object) -> None:
        self._push(Items("list", []))

    def _do_EMPTY_TUPLE(self, _: object) -> None:
        self._push(Items("tuple", []))

    def _do_EMPTY_SET(self, _: object) -> None:
        self._push(Items("set", []))

    def _do_EMPTY_DICT(self, _: object) -> None:
        self._push(Pairs([]))

    def _do_LIST(self, _: object) -> None:
        self._push(Items("list", self._marked()))

    def _do_TUPLE(self, _: object) -> None:
        self._push(Items("tuple", self._marked()))

    def _do_FROZENSET(self, _: object) -> None:
        self._push(Items("frozenset", self._marked()))

    def _do_DICT(self, _: object) -> None:
        self._push(Pairs(self._paired(self._marked())))

    def _tuple(self, count: int, _: object) -> None:
        self._push(Items("tuple", [self._pop() for _ in range(count)][::-1]))

    _do_TUPLE1 = partialmethod(_tuple, 1)
    _do_TUPLE2 = partialmethod(_tuple, 2)
    _do_TUPLE3 = partialmethod(_tuple, 3)

    def _do_APPEND(self, _: object) -> None:
        self._extend([self._pop()], "list")

    def _do_APPENDS(self, _: object) -> None:
        self._extend(self._marked(), "list")

    def _do_ADDITEMS(self, _: object) -> None:
        self._extend(self._marked(), "set")

    def _extend(self, items: list[Value], kind: str) -> None:
        target = self._top()
        self._change(target)
        if isinstance(target, Items) and target.kind == kind:
            target.items.extend(items)
        elif isinstance(target, Made) and kind == "list" and takes_items(target):
            target.pairs.extend((None, item) for item in items)
        elif not isinstance(target, Unknown):
            self._say("HC-PKL-004", f"items are added to something that is no {kind}")

    def _do_SETITEM(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        self._assign([(key, value)])

    def _do_SETITEMS(self, _: object) -> None:
        self._assign(self._paired(self._marked()))

    def _paired(self, items: list[Value]) -> list[tuple[Value, Value]]:
        if len(items) % 2:
            self._say("HC-PKL-005", "a key without a value")
            items = [*items, Unknown()]
        return list(zip(items[::2], items[1::2], strict=True))

    def _assign(self, pairs: list[tuple[Value, Value]]) -> None:
        target = self._top()
        self._change(target)
        if isinstance(target, Pairs) or (isinstance(target, Made) and (target.path in DICTS or takes_pairs(target))):
            target.pairs.extend(pairs)
        elif isinstance(target, Made) and target.path.startswith(("torch.", "numpy.")):
            self._say("HC-PKL-008", "item assignment on a tensor or array: it writes to memory while loading")
        elif isinstance(target, Persistent):
            self._say("HC-PKL-008", "item assignment on a storage: it writes to memory while loading")
        elif not isinstance(target, (Unknown, Made)) or (isinstance(target, Made) and target.path):
            self._say("HC-PKL-004", "items are assigned to something that is no dict")

    # memo

    def _put(self, index: object) -> None:
        if not isinstance(index, int) or index < 0:
            self._say("HC-PKL-005", "a memo entry without a valid number")
            self.stopped = True
        elif index > MOST_IN_MEMO:
            self._say("HC-PKL-007", f"memo entry {index}: readers would set aside memory for all below it")
            self._passed_over = True
        else:
            if self._marks and not self._stack:
                self._say("HC-PKL-005", "a memo entry is taken from an empty stack")
            self._memo[index] = self._top()

    def _get(self, index: object) -> None:
        if isinstance(index, int) and index in self._memo:
            self._push(self._memo[index])
        else:
            self._say("HC-PKL-005", "a memo entry is asked for that is not there")
            self.stopped = self.stopped or not self._passed_over
            self._push(Unknown())

    def _do_MEMOIZE(self, _: object) -> None:
        self._put(len(self._memo))

    _do_PUT = _do_BINPUT = _do_LONG_BINPUT = _put
    _do_GET = _do_BINGET = _do_LONG_BINGET = _get

    # the rest

    def _do_POP(self, _: object) -> None:
        if self._stack or not self._marks:
            self._pop()
        else:
            self._marked()

    def _do_POP_MARK(self, _: object) -> None:
        self._marked()

    def _do_DUP(self, _: object) -> None:
        self._push(self._top())

    def _do_STOP(self, _: object) -> None:
        self.result = self._pop()
        if self._stack or self._marks:
            self._say("HC-PKL-005", "values or marks are left over at STOP")
