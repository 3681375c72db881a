"""Walks a template as its renderer would, on what its expressions may give: see ``values``.

Every branch is taken, every loop once; what namespaces, macros and lists hold is kept from one walk to the next until
it no longer grows. Nothing is rendered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from jinja2 import nodes

from hubclean.scanning.formats.templating.expressions import Expressions
from hubclean.scanning.formats.templating.operators import Env
from hubclean.scanning.formats.templating.values import ANY_TEXT, NOTHING, Value, element, held, join

_EXACT_WALKS = 3
_WALKS = 12
_LOADS = ("Include", "Import", "FromImport", "Extends")


class Walk(Expressions):
    """The statements of one template; ``faults`` keeps what is wrong, in words that follow "template"."""

    def template(self, tree: Any) -> None:
        """Walk all of it until nothing new is learned.

        Raises:
            RecursionError: it is nested too deep. TooLong: it has more expressions than are looked at.
        """
        self.macro_nodes = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
        for walk in range(_WALKS):
            self.wide = walk >= _EXACT_WALKS
            known = dict(self.kept)
            env: Env = {}
            self.body(tree.body, env)
            for macro in list(self.macro_nodes.values()):
                self._macro_body(macro, env)
            if self.kept == known:
                return
        self.fault("changes what it remembers in more ways than can be followed")

    def body(self, statements: Iterable[Any], env: Env) -> None:
        for node in statements:
            self._statement(node, env)

    def _statement(self, node: Any, env: Env) -> None:
        self.spend()
        kind = type(node).__name__
        if kind in _LOADS:
            self.fault(f"loads another template ({kind.lower()})")
        elif step := getattr(self, f"_do_{kind}", None):
            step(node, env)
        elif hasattr(node, "body"):  # scopes and blocks
            for expression in node.iter_child_nodes(exclude=("body",)):
                self.value(expression, env)
            self.body(node.body, env)
        else:
            for expression in node.iter_child_nodes():
                self.value(expression, env)

    def _do_TemplateData(self, node: Any, env: Env) -> None:
        """Text as it stands."""

    _do_Break = _do_Continue = _do_TemplateData

    def _do_Output(self, node: Any, env: Env) -> None:
        for part in node.nodes:
            if type(part).__name__ != "TemplateData":
                self.value(part, env)

    def _do_Assign(self, node: Any, env: Env) -> None:
        self.assign(node.target, self.value(node.node, env), env)

    def _do_AssignBlock(self, node: Any, env: Env) -> None:
        self.body(node.body, dict(env))
        if node.filter is not None:
            self.value(node.filter, env)
        self.assign(node.target, ANY_TEXT, env)

    def _do_FilterBlock(self, node: Any, env: Env) -> None:
        self.body(node.body, dict(env))
        self.value(node.filter, env)

    def _do_If(self, node: Any, env: Env) -> None:
        self.spend(len(env) // 16)  # of which each branch has its own
        self.value(node.test, env)
        branches = [dict(env)]
        self.body(node.body, branches[0])
        for other in node.elif_:
            self.value(other.test, env)
            branches.append(dict(env))
            self.body(other.body, branches[-1])
        branches.append(dict(env))
        self.body(node.else_, branches[-1])
        for name in {name for branch in branches for name in branch}:
            values = [branch.get(name) or self.root(name) for branch in branches]
            joined = values[0]
            for value in values[1:]:
                joined = join(joined, value)
            env[name] = joined

    def _do_For(self, node: Any, env: Env) -> None:
        self.spend(len(env) // 16)
        over = self.value(node.iter, env)
        each = element(over)
        if node.recursive:
            each = join(each, self.keep("loop", NOTHING))
        inner = dict(env)
        self.assign(node.target, each, inner)
        called = frozenset(["loop", "loop()"] if node.recursive else ["loop"])
        inner["loop"] = Value(calls=called, items=each)
        if node.test is not None:
            self.value(node.test, inner)
        self.body(node.body, inner)
        self.body(node.else_, dict(env))

    def _do_With(self, node: Any, env: Env) -> None:
        inner = dict(env)
        for target, value in zip(node.targets, node.values, strict=True):
            self.assign(target, self.value(value, env), inner)
        self.body(node.body, inner)

    def _do_Macro(self, node: Any, env: Env) -> None:
        self.macro_nodes[node.name] = node
        env[node.name] = Value(calls=frozenset([f"{node.name}()"]))
        self._macro_body(node, env)

    def _macro_body(self, node: Any, env: Env) -> None:
        self._parameters(node, dict(env), f"{node.name}()")

    def _parameters(self, node: Any, inner: Env, called: str) -> None:
        """The body of a macro or call block, with what it was called with anywhere."""
        missing = len(node.args) - len(node.defaults)
        for place, target in enumerate(node.args):
            given = self.kept.get(f"{called}{place}", NOTHING)
            given = join(given, self.kept.get(f"{called}{target.name}", NOTHING))
            if place >= missing:
                given = join(given, self.value(node.defaults[place - missing], inner))
            inner[target.name] = join(given, self.kept.get(f"{called}*", NOTHING))
        rest = self.kept.get(f"{called}*", NOTHING)
        inner["varargs"] = inner["kwargs"] = held(join(rest, self.kept.get(f"{called}all", NOTHING)))
        inner["caller"] = Value(calls=frozenset(["caller"]))
        self.body(node.body, inner)

    def _do_CallBlock(self, node: Any, env: Env) -> None:
        self.value(node.call, env)
        self._parameters(node, dict(env), "caller()")

    def assign(self, target: Any, value: Value, env: Env) -> None:
        """Give a variable, several, or an attribute of a namespace a value."""
        kind = type(target).__name__
        if kind == "Name":
            env[target.name] = value
        elif kind in ("Tuple", "List"):
            inside = element(value)
            inside = replace(inside, picked=inside.picked and value.data)
            for part in target.items:
                self.assign(part, inside, env)
        elif kind == "NSRef":
            self.attribute(target.attr)
            self.keep(f".{target.attr}", value)
