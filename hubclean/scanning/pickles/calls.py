"""The part of the machine that refers to names, calls them, and changes what they made."""

from __future__ import annotations

import re

from hubclean.scanning.budget import spend
from hubclean.scanning.pickles.allowed_names import is_allowed
from hubclean.scanning.pickles.odd_calls import inner_call, odd_call, odd_state
from hubclean.scanning.pickles.opcodes import LONGEST_NAME
from hubclean.scanning.pickles.record_names import Use, inner_file, keeps_state, kind_of, use_of
from hubclean.scanning.pickles.stack import DICTS, Note, Stack
from hubclean.scanning.pickles.values import Items, Made, Name, Persistent, Unknown, Value

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_NAME = re.compile(r"[^\W\d]\w*")
_TENSORS = ("torch._utils._rebuild", "torch._tensor._rebuild", "torch.nn.parameter.Parameter")
_BUILT = (*_TENSORS, *DICTS, "torch.", "numpy.")


_WAYS = frozenset({"w", "wb", "w+", "wb+", "a", "ab", "a+", "x", "xb", "r+", "rb+", "wt", "at", "truncate"})


def _opens(value: Value) -> bool:
    """Whether an argument is a path, an address, or a way to open a file; the value of a plain enum is none."""
    return isinstance(value, str) and ("/" in value or "\\" in value or value in _WAYS)


class Calls(Stack):
    """A ``Stack`` that knows names, calls and states.

    Attributes:
        called_names: ``id`` of the references that are called or handed to a call.
        openers: of those, the ones that are called with a text that names a place or a way to open one.
        uses: by ``id``, the worst use of a name that is called: see ``record_names.use_of``.
        persistents: values kept outside.
        inner: whole torch files inside the stream, each with the offset of the call that reads it.
        imported: whether a name is looked up before ``stopped``. called: whether one is called or changed.
    """

    def __init__(self, note: Note) -> None:
        super().__init__(note)
        self.called_names: set[int] = set()
        self.openers: set[int] = set()
        self.uses: dict[int, Use] = {}
        self.persistents: list[Persistent] = []
        self.inner: list[tuple[int, bytes]] = []
        self.called = self.imported = False

    def _refer(self, module: object, name: object) -> Name:
        if not isinstance(module, str) or not isinstance(name, str):
            self._say("HC-PKL-003", "a name that is not written out: module or name is a computed value")
            return Name("?", "?", self._at, False)
        spend(1 + (len(module) + len(name)) // 64)
        if len(module) > LONGEST_NAME or len(name) > LONGEST_NAME:
            self._say("HC-PKL-005", f"a module or name of more than {LONGEST_NAME:,} letters, which nobody finds")
            self.stopped = True
            return Name("?", "?", self._at, False)
        allowed = is_allowed(module, name, self.protocol)
        found = Name(module, name, self._at, allowed, "" if allowed else kind_of(module, name, self.protocol))
        if "." in name:
            self._say("HC-PKL-003", f"{module}.{name}: a dot in a name reaches into what it finds")
        elif not _MODULE.fullmatch(module) or not _NAME.fullmatch(name):
            self._say("HC-PKL-005", f"a module or name that is no Python name: {module[:80]!r} {name[:80]!r}")
        if not _MODULE.fullmatch(module) or not _MODULE.fullmatch(name):
            self.stopped = True  # no module or attribute is found under it
        self.imported = self.imported or not self.stopped
        self.names.append(found)
        return found

    def _do_GLOBAL(self, argument: tuple[str, str]) -> None:
        self._push(self._refer(*argument))

    def _do_STACK_GLOBAL(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        self._push(self._refer(module, name))

    def _do_REDUCE(self, _: object) -> None:
        arguments = self._pop()
        self._call(self._pop(), arguments)

    def _do_NEWOBJ(self, _: object) -> None:
        arguments = self._pop()
        self._call(self._pop(), arguments, new=True)

    def _do_NEWOBJ_EX(self, _: object) -> None:
        named, arguments = self._pop(), self._pop()
        self._call(self._pop(), Items("tuple", [arguments, named]))

    def _do_INST(self, argument: tuple[str, str]) -> None:
        items = self._marked()
        self._call(self._refer(*argument), Items("tuple", items))

    def _do_OBJ(self, _: object) -> None:
        items = self._marked() or [self._pop()]
        self._call(items[0], Items("tuple", items[1:]))

    def _call(self, maker: Value, arguments: Value, new: bool = False) -> None:
        if not isinstance(maker, (Name, Made, Unknown, Persistent)) or isinstance(arguments, int | float | None):
            self.stopped = True  # neither a number nor a list can be called, and those are no arguments
        self._change(maker)
        if not isinstance(maker, Name):
            self._say("HC-PKL-003", "what is called is not a name written out, but a computed value")
        given = arguments.items if isinstance(arguments, Items) else []
        spend(1 + len(given))
        for value in given:
            if isinstance(value, Name):
                self.called_names.add(id(value))
                self._used(value, Use.HANDED)
        made = Made(maker, arguments, self._at, new=new)
        if isinstance(maker, Name):
            self.called_names.add(id(maker))
            if not new and any(map(_opens, given)):
                self.openers.add(id(maker))
            self._used(maker, use_of(made))
            if (body := inner_file(made)) is not None:
                self.inner.append((self._at, body))
            self._calls_inside(made)
        if odd := odd_call(made):
            self._say(*odd)
        self._push(made)

    def _calls_inside(self, made: Made) -> None:
        """What a listed name is told to call is used as if it were called here."""
        for _ in range(64):
            inner = inner_call(made)
            if inner is None or not isinstance(inner.maker, Name):
                return
            self._used(inner.maker, use_of(inner))
            made = inner

    def _used(self, name: Name, use: Use) -> None:
        """Keep the worst use."""
        self.uses[id(name)] = max(self.uses.get(id(name), use), use)

    def _change(self, target: Value) -> None:
        """What was imported is called, or changed in place: it happened, unless every reader has stopped before."""
        if isinstance(target, Name):
            self.called = self.called or not self.stopped

    def _do_BUILD(self, _: object) -> None:
        state, target = self._pop(), self._top()
        self._change(target)
        if isinstance(target, Made):
            if target.path and not target.path.startswith(_BUILT):
                self._say("HC-PKL-004", f"a state is set on {target.path}, which has none in plain weights")
            if target.state is not None:
                self._say("HC-PKL-004", "a state is set twice on the same value")
            if isinstance(target.maker, Name) and target.maker.kind and not keeps_state(target, state):
                self._used(target.maker, Use.ODD)
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
        parts = key.items if isinstance(key, Items) else []
        if len(parts) == 4 and parts[0] in ("module", b"module") and isinstance(parts[1], Name):
            self._push(parts[1])  # a class with its source, in torch's legacy format: loaders take the class
            return
        self.persistents.append(Persistent(key, self._at))
        self._push(self.persistents[-1])
