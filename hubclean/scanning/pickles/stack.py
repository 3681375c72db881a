"""The abstract machine of a pickle: stack, marks and memo, opcode by opcode, on inert values."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partialmethod

from hubclean.scanning.pickles.allowed_names import is_allowed
from hubclean.scanning.pickles.odd_calls import odd_call, odd_state
from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Persistent, Unknown, Value

MOST_PUSHED = 250_000  # names, containers and aliases; a checkpoint of 10,000 tensors has 160,000
MOST_MARKS = 1000
MOST_NAMES = 60_000
MOST_IN_MEMO = 1_000_000

Note = Callable[[str, str, int], None]
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_NAME = re.compile(r"[^\W\d]\w*")
_DICTS = ("collections.OrderedDict", "collections.Counter")
_TENSORS = ("torch._utils._rebuild", "torch._tensor._rebuild", "torch.nn.parameter.Parameter")
_BUILT = (*_TENSORS, *_DICTS, "torch.", "numpy.")
_CONSTANTS: dict[str, Value] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSHED_TEXT = """
INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES
SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
"""
_PUSHED = frozenset(_PUSHED_TEXT.split())


class Stack:
    """Does what an unpickler would do to its stack; ``note(rule, what, offset)`` is told of what must not be.

    Attributes:
        result: what STOP returned; ``Unknown`` until then.
        names: every reference, in order. ``called_names``: ``id`` of those that are called or handed to a call.
        persistents: values kept outside. ``called``: whether anything is called.
        exhausted: a budget is used up; the walk must end.
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
        self.called_names: set[int] = set()
        self.persistents: list[Persistent] = []
        self.called = False
        self.exhausted = False
        self._steps = {name.removeprefix("_do_"): getattr(self, name) for name in dir(self) if name.startswith("_do_")}

    def remaining(self) -> Items:
        """The values that are left when the walk ends: the result, and what else was on the stack."""
        return Items("list", [self.result, *self._stack, *(value for level in self._marks for value in level)])

    def step(self, name: str, argument: object, offset: int) -> None:
        """One opcode."""
        self._at = offset
        if name in _PUSHED:
            self._stack.append(argument)  # type: ignore[arg-type]  # a constant
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in self._steps:
            self._steps[name](argument)
        if self._pushed > MOST_PUSHED or len(self._marks) > MOST_MARKS or len(self.names) > MOST_NAMES:
            self._say("HC-PKL-007", "values, names or marks beyond all need; the rest was not looked at")
            self.exhausted = True

    def _say(self, rule: str, what: str) -> None:
        self._note(rule, what, self._at)

    def _pop(self) -> Value:
        if self._stack:
            return self._stack.pop()
        self._say("HC-PKL-005", "an opcode takes from an empty stack or from below its mark")
        return Unknown()

    def _top(self) -> Value:
        if not self._stack:
            self._stack.append(self._pop())
        return self._stack[-1]

    def _marked(self) -> list[Value]:
        if not self._marks:
            self._say("HC-PKL-005", "an opcode looks for a mark that is not there")
            return []
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _push(self, value: Value) -> None:
        self._pushed += 1
        self._stack.append(value)

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
        if isinstance(target, Items) and target.kind == kind:
            target.items.extend(items)
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
        if isinstance(target, Pairs) or (isinstance(target, Made) and target.path in _DICTS):
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
        elif index > MOST_IN_MEMO:
            self._say("HC-PKL-007", f"memo entry {index}: readers would set aside memory for all below it")
        else:
            if self._marks and not self._stack:
                self._say("HC-PKL-005", "a memo entry is taken from an empty stack")
            self._memo[index] = self._top()

    def _get(self, index: object) -> None:
        if isinstance(index, int) and index in self._memo:
            self._push(self._memo[index])
        else:
            self._say("HC-PKL-005", "a memo entry is asked for that is not there")
            self._push(Unknown())

    def _do_MEMOIZE(self, _: object) -> None:
        self._put(len(self._memo))

    _do_PUT = _do_BINPUT = _do_LONG_BINPUT = _put
    _do_GET = _do_BINGET = _do_LONG_BINGET = _get

    # names and calls

    def _refer(self, module: object, name: object) -> Name:
        if not isinstance(module, str) or not isinstance(name, str):
            self._say("HC-PKL-003", "a name that is not written out: module or name is a computed value")
            return Name("?", "?", self._at, False)
        found = Name(module, name, self._at, is_allowed(module, name, self.protocol))
        if "." in name:
            self._say("HC-PKL-003", f"{module}.{name}: a dot in a name reaches into what it finds")
        elif not _MODULE.fullmatch(module) or not _NAME.fullmatch(name):
            self._say("HC-PKL-005", f"a module or name that is no Python name: {module[:80]!r} {name[:80]!r}")
        self.names.append(found)
        return found

    def _do_GLOBAL(self, argument: tuple[str, str]) -> None:
        self._push(self._refer(*argument))

    def _do_STACK_GLOBAL(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        self._push(self._refer(module, name))

    def _do_EXT1(self, _: object) -> None:
        self._push(Unknown())

    _do_EXT2 = _do_EXT4 = _do_NEXT_BUFFER = _do_EXT1

    def _do_REDUCE(self, _: object) -> None:
        arguments = self._pop()
        self._call(self._pop(), arguments)

    _do_NEWOBJ = _do_REDUCE

    def _do_NEWOBJ_EX(self, _: object) -> None:
        named, arguments = self._pop(), self._pop()
        self._call(self._pop(), Items("tuple", [arguments, named]))

    def _do_INST(self, argument: tuple[str, str]) -> None:
        self._call(self._refer(*argument), Items("tuple", self._marked()))

    def _do_OBJ(self, _: object) -> None:
        items = self._marked() or [Unknown()]
        self._call(items[0], Items("tuple", items[1:]))

    def _call(self, maker: Value, arguments: Value) -> None:
        self.called = self.called or isinstance(maker, Name)
        if not isinstance(maker, Name):
            self._say("HC-PKL-003", "what is called is not a name written out, but a computed value")
        given = arguments.items if isinstance(arguments, Items) else []
        for value in (maker, *given):
            if isinstance(value, Name):
                self.called_names.add(id(value))
        made = Made(maker, arguments, self._at)
        if odd := odd_call(made):
            self._say(*odd)
        self._push(made)

    def _do_BUILD(self, _: object) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Made):
            if target.path and not target.path.startswith(_BUILT):
                self._say("HC-PKL-004", f"a state is set on {target.path}, which has none in plain weights")
            if target.state is not None:
                self._say("HC-PKL-004", "a state is set twice on the same value")
            if odd := odd_state(target, state):
                self._say(*odd)
            target.state = state
        elif not isinstance(target, Unknown):
            self._say("HC-PKL-004", "a state is set on something that was not made by a listed name")

    def _do_BINPERSID(self, _: object) -> None:
        self._keep(self._pop())

    def _do_PERSID(self, argument: bytes) -> None:
        self._keep(argument)

    def _keep(self, key: Value) -> None:
        self.persistents.append(Persistent(key, self._at))
        self._push(self.persistents[-1])

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
