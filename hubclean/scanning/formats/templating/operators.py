"""What operators give: texts put together, numbers, one branch or the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from hubclean.scanning.formats.templating import calls
from hubclean.scanning.formats.templating.calls import Given
from hubclean.scanning.formats.templating.values import DATA, NOTHING, NUMBER, Value, join, put_together, repeated, word

Env = dict[str, Value]


class Operators(ABC):
    """The part of ``Expressions`` that knows operators and tests."""

    @abstractmethod
    def value(self, node: Any, env: Env) -> Value:
        """What an expression may give."""

    @abstractmethod
    def _given(self, node: Any, env: Env) -> Given:
        """The arguments of a call, a filter or a test."""

    def _of_Test(self, node: Any, env: Env) -> Value:
        self.value(node.node, env)
        self._given(node, env)
        return NUMBER

    def _of_Compare(self, node: Any, env: Env) -> Value:
        self.value(node.expr, env)
        for operand in node.ops:
            self.value(operand.expr, env)
        return NUMBER

    def _of_Not(self, node: Any, env: Env) -> Value:
        self.value(node.node, env)
        return NUMBER

    def _of_CondExpr(self, node: Any, env: Env) -> Value:
        self.value(node.test, env)
        other = NOTHING if node.expr2 is None else self.value(node.expr2, env)
        return join(self.value(node.expr1, env), other)

    def _of_Or(self, node: Any, env: Env) -> Value:
        return join(self.value(node.left, env), self.value(node.right, env))

    _of_And = _of_Or

    def _of_Concat(self, node: Any, env: Env) -> Value:
        found = word("")
        for part in node.nodes:
            found = put_together(found, self.value(part, env))
        return found

    def _of_Add(self, node: Any, env: Env) -> Value:
        left, right = self.value(node.left, env), self.value(node.right, env)
        numbers = (left.number or left.data) and (right.number or right.data)
        found = NUMBER if numbers and (left.number or right.number) else NOTHING
        if left.items or right.items:
            found = join(
                found, Value(left.data or right.data, items=join(left.items or NOTHING, right.items or NOTHING))
            )
        texts = [Value(value.data, value.picked, words=value.words, starts=value.starts) for value in (left, right)]
        if all(value != NOTHING for value in texts) and (texts[0] != DATA or texts[1] != DATA):
            found = join(found, put_together(*texts))
        elif texts[0].data and texts[1].data:
            found = join(found, Value(data=True, picked=left.picked or right.picked))
        return found

    def _of_Mul(self, node: Any, env: Env) -> Value:
        left, right = self.value(node.left, env), self.value(node.right, env)
        found = NUMBER
        for value, times in ((left, right), (right, left)):
            if (times.number or times.data) and (value.words or value.starts or value.items):
                found = join(found, repeated(value))
            if times.number and value.data:
                found = join(found, Value(data=True, picked=value.picked))
        return found

    def _of_Mod(self, node: Any, env: Env) -> Value:
        return calls.percent(self.value(node.left, env), self.value(node.right, env))

    def _arithmetic(self, node: Any, env: Env) -> Value:
        for child in node.iter_child_nodes():
            self.value(child, env)
        return NUMBER

    _of_Sub = _of_Div = _of_FloorDiv = _of_Pow = _of_Neg = _of_Pos = _arithmetic
