"""What every expression of a template may give, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from hubclean.scanning.formats.templating import calls
from hubclean.scanning.formats.templating.calls import Given
from hubclean.scanning.formats.templating.operators import Env, Operators
from hubclean.scanning.formats.templating.values import (
    ANY_TEXT,
    DATA,
    NOTHING,
    NUMBER,
    Value,
    element,
    held,
    is_dunder,
    join,
    secret,
    secret_name,
    whole,
    widened,
    word,
)

MOST_STEPS = 300_000  # of all walks; the longest templates of models have 3,000 nodes
_MOST_FAULTS = 20


class TooLong(Exception):
    """More expressions than are looked at."""


class Expressions(Operators):
    """Values of expressions.

    Args:
        mappings: variables that the template itself asks whether they are dicts.

    Attributes:
        faults: what is wrong. kept: what namespaces, macros and lists were given, by name. wide: kept texts are known
            by their beginnings only.
        macro_nodes: the macros that were met.
    """

    def __init__(self, mappings: frozenset[str] = frozenset()) -> None:
        self.faults: dict[str, None] = {}
        self.kept: dict[str, Value] = {}
        self.macro_nodes: dict[str, Any] = {}
        self._mappings = mappings
        self.wide = False
        self._steps = 0

    def fault(self, what: str) -> None:
        if len(self.faults) < _MOST_FAULTS:
            self.faults[what] = None

    def spend(self, steps: int = 1) -> None:
        self._steps += max(steps, 1)
        if self._steps > MOST_STEPS:
            raise TooLong

    def keep(self, name: str, value: Value) -> Value:
        """Add to what is kept under a name; what is there now."""
        joined = join(self.kept.get(name, NOTHING), value)
        self.kept[name] = widened(joined) if self.wide else joined
        return self.kept[name]

    def root(self, name: str) -> Value:
        """A variable that the template does not set."""
        if name in calls.FUNCTIONS:
            return Value(calls=frozenset([name]))
        if name in self.macro_nodes:
            return Value(calls=frozenset([f"{name}()"]))
        if name.endswith(("_token", "_tokens")):
            return ANY_TEXT  # the author of the template chose these too
        known = calls.is_of_conversation(name) or name in self._mappings
        return DATA if known else Value(data=True, root=name)

    def attribute(self, name: str) -> None:
        if secret_name(name):
            self.fault(f"reaches for the attribute {name[:60]!r}")

    def value(self, node: Any, env: Env) -> Value:
        """What an expression may give."""
        self.spend()
        step = getattr(self, f"_of_{type(node).__name__}", None)
        if step is not None:
            found: Value = step(node, env)
            return found
        for child in node.iter_child_nodes():
            self.value(child, env)
        return ANY_TEXT

    def _of_Const(self, node: Any, env: Env) -> Value:
        if not isinstance(node.value, str):
            return NUMBER if node.value is not None else NOTHING
        if is_dunder(node.value):
            self.fault(f"holds the name {node.value[:60]!r}")
        return word(node.value)

    def _of_TemplateData(self, node: Any, env: Env) -> Value:
        return word(node.data)

    def _of_Name(self, node: Any, env: Env) -> Value:
        if node.name.startswith("__") or node.name == "self":
            self.fault(f"reaches for {node.name!r}")
        found = env[node.name] if node.name in env else self.root(node.name)
        added = self.kept.get(f"{node.name}+")
        return join(found, held(added)) if added else found

    def _of_List(self, node: Any, env: Env) -> Value:
        found = NOTHING
        for item in node.items:
            found = join(found, self.value(item, env))
        return held(found)

    _of_Tuple = _of_List

    def _of_Dict(self, node: Any, env: Env) -> Value:
        keys, found = NOTHING, NOTHING
        for pair in node.items:
            keys, found = join(keys, self.value(pair.key, env)), join(found, self.value(pair.value, env))
        return held(found, keys)

    def _of_Getattr(self, node: Any, env: Env) -> Value:
        self.attribute(node.attr)
        return self._member(self.value(node.node, env), node.attr)

    def _member(self, value: Value, name: str) -> Value:
        found = whole(value)
        if "namespace()" in value.calls:
            found = join(found, self.kept.get(f".{name}", NOTHING))
        if value.calls & {"loop"} and name not in ("previtem", "nextitem", "cycle"):
            return NUMBER
        if value.calls - {"namespace()", "cycler()", "loop", "loop()"}:
            self.fault(f"reads {name[:60]!r} of a function")
        return found

    def _of_Getitem(self, node: Any, env: Env) -> Value:
        value = self.value(node.node, env)
        if type(node.arg).__name__ == "Slice":
            bounds = (node.arg.start, node.arg.stop, node.arg.step)
            for bound in bounds:
                if bound is not None:
                    self.value(bound, env)
            numbers = [None if bound is None else _number(bound) for bound in bounds]
            told = all(bound is None or number is not None for bound, number in zip(bounds, numbers, strict=True))
            return calls.sliced(value, (numbers[0], numbers[1], numbers[2]) if told else None)
        key = self.value(node.arg, env)
        if what := secret(key):
            self.fault(what)
        found = NOTHING
        if key.number or key.data or key.items or key.calls or key == NOTHING:
            found = calls.placed(value, _number(node.arg))
        for name in key.words:
            found = join(found, self._member(value, name))
        if key.data or key.starts:
            found = join(found, whole(value))
            if "namespace()" in value.calls:
                found = join(found, ANY_TEXT)
            if value.calls - {"namespace()", "loop"}:
                self.fault("reads a member of a function by a name that is not written out")
        return found

    def _given(self, node: Any, env: Env) -> Given:
        places = tuple(self.value(argument, env) for argument in node.args)
        names = {pair.key: self.value(pair.value, env) for pair in node.kwargs}
        rest = NOTHING
        for starred in (node.dyn_args, node.dyn_kwargs):
            if starred is not None:
                rest = join(rest, element(self.value(starred, env)))
        return Given(places, names, rest)

    def _of_Call(self, node: Any, env: Env) -> Value:
        called, kind = node.node, type(node.node).__name__
        given = self._given(node, env)
        if kind == "Getattr":
            self.attribute(called.attr)
            return self._method(called, given, env)
        name = called.name if kind == "Name" else ""
        value = self.value(called, env)
        if (
            kind != "Name"
            or not value.calls
            or value.data
            or (value.items and not value.calls & {"joiner()", "loop()"})
        ):
            self.fault(f"calls {name or 'what an expression gives'!r}")
            return ANY_TEXT
        found = NOTHING
        for function in sorted(value.calls):
            found = join(found, self._made(function, value, given))
        return found

    def _made(self, function: str, value: Value, given: Given) -> Value:
        if function in calls.FUNCTIONS - {"caller"}:
            if function in calls.REFUSED:
                self.fault(f"calls {function!r}")
            if function == "namespace":
                for name, argument in given.names.items():
                    self.attribute(name)
                    self.keep(f".{name}", argument)
            return calls.made(function, given)
        if function == "joiner()":
            return value.items or ANY_TEXT
        if function == "loop()":
            self.keep("loop", element(given.all()))
            return ANY_TEXT
        if function.removesuffix("()") not in self.macro_nodes and function != "caller":
            self.fault(f"calls {function!r}")
            return ANY_TEXT
        called = "caller()" if function == "caller" else function
        for place, argument in enumerate(given.places):
            self.keep(f"{called}{place}", argument)
        for name, argument in given.names.items():
            self.keep(f"{called}{name}", argument)
        self.keep(f"{called}*", given.rest)
        self.keep(f"{called}all", given.all())
        return ANY_TEXT

    def _method(self, called: Any, given: Given, env: Env) -> Value:
        name, value = called.attr, self.value(called.node, env)
        if name == "format" and calls.is_plain_format(value):
            return ANY_TEXT
        if name not in calls.METHODS:
            self.fault(f"calls {name[:60]!r}")
            return ANY_TEXT
        if value.calls and not (
            value.calls <= {"loop", "cycler()", "loop()"} and name in ("cycle", "changed", "next", "reset")
        ):
            self.fault(f"calls {name!r} of a function")
        if name in calls.DICT_METHODS and value.root:
            self.fault(f"calls {name!r} of {value.root[:60]!r}, which is no part of a conversation")
        if name in calls.ADDS and type(called.node).__name__ == "Name":
            added = join(given.all(), element(given.all()) if name in ("extend", "update") else NOTHING)
            self.keep(f"{called.node.name}+", added)
        return calls.method(name, value, given)

    def _of_Filter(self, node: Any, env: Env) -> Value:
        value = ANY_TEXT if node.node is None else self.value(node.node, env)
        return self._filtered(node.name, value, self._given(node, env))

    def _filtered(self, name: str, value: Value, given: Given) -> Value:
        if name in ("attr", "xmlattr"):
            self.fault(f"uses the filter {name!r}")
        for read in calls.names_read(name, given):
            if what := secret(read):
                self.fault(what)
        if name == "map" and given.places:
            inner = given.places[0]
            if inner.data or inner.starts or given.rest != NOTHING:
                self.fault("maps by a filter whose name is not written out")
            for word_ in sorted(inner.words):
                self._filtered(word_, element(value), Given(given.places[1:], given.names, given.rest))
        return calls.filtered(name, value, given)


def _number(node: Any) -> int | None:
    """An integer that is written out."""
    sign = 1
    if type(node).__name__ == "Neg":
        sign, node = -1, node.node
    value = getattr(node, "value", None)
    return sign * value if type(value) is int else None
