"""One recorded forward: which value was computed from which, by which operator, module and parameter.

Works on the meta device (no weights, no arithmetic) and on real weights alike, and names no family of models.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hubclean.nets.trace import operators
from hubclean.nets.trace.operators import Operation, Other, Ref


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor that descends from the images.

    Args:
        op: name of the operator that made it (``input`` for the images).
        module: name of the innermost module running then.
        inputs: indices of the values it was computed from.
        parameters: names of the parameters that took part, also through arithmetic on parameters alone.
        weight: the parameter that is the operator's second operand as it is stored, or ``""``.
        shape: its shape, batch axis first.
        call: the operation that made it (``None`` for the images and for what was not seen).
        place: which of the operation's outputs it is.
    """

    op: str
    module: str
    inputs: tuple[int, ...]
    parameters: frozenset[str]
    weight: str
    shape: tuple[int, ...]
    call: Operation | None = field(default=None, compare=False, repr=False)
    place: int = 0

    @property
    def mixes(self) -> bool:
        """Whether a layer with weights made it, so that its channels are no longer those of its inputs."""
        return self.op in operators.MIXING and bool(self.parameters)


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One run of a module: the values it took in and gave out.

    Args:
        source: the value that is its first argument (-1 if none is), which a hook can replace.
        result: the value that is its output, or the first of a tuple, likewise.
    """

    module: str
    taken: tuple[int, ...]
    given: tuple[int, ...]
    source: int = -1
    result: int = -1


@dataclass(frozen=True, slots=True)
class Trace:
    """A forward's values in order of computation, its module calls in order of exit, and which value the logits are.

    Args:
        mixed: parameters that were used through arithmetic in which their rows are not alone (spectral norm).
    """

    values: tuple[Value, ...]
    calls: tuple[RecordedCall, ...]
    logits: int
    mixed: frozenset[str] = frozenset()

    def heads(self) -> tuple[int, ...]:
        """Values made by a layer with weights from which the logits follow through no further such layer."""
        found, seen, todo = set(), set(), [self.logits]
        while todo:
            index = todo.pop()
            if index in seen:
                continue
            seen.add(index)
            if self.values[index].mixes:
                found.add(index)
            else:
                todo.extend(self.values[index].inputs)
        return tuple(sorted(found))

    def ancestors(self, ends: tuple[int, ...]) -> list[int]:
        """All values that ``ends`` were computed from, ``ends`` included, in order of computation."""
        seen: set[int] = set()
        todo = list(ends)
        while todo:
            index = todo.pop()
            if index not in seen:
                seen.add(index)
                todo.extend(self.values[index].inputs)
        return sorted(seen)

    def cuts(self, ends: tuple[int, ...]) -> list[int]:
        """Values that every path from the images to ``ends`` goes through, in order of computation."""
        order = self.ancestors(ends)
        last_use = dict.fromkeys(order, 0)
        for index in order:
            for source in self.values[index].inputs:
                last_use[source] = max(last_use[source], index)
        last_use.update(dict.fromkeys(ends, len(self.values)))
        found, reach = [], 0
        for index in order:
            if reach <= index:
                found.append(index)
            reach = max(reach, last_use[index])
        return found


def tensors_in(value: Any, depth: int = 4) -> Iterator[Tensor]:
    """All tensors inside nested tuples, lists and mappings (ModelOutput included), at most ``depth`` levels down."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item, depth - 1)
    elif depth and hasattr(value, "values") and hasattr(value, "keys"):
        for item in value.values():
            yield from tensors_in(item, depth - 1)


# Attention written in Python would be one operation to the recorder; this copy does not hand itself over to it.
_ATTENTION = types.FunctionType(
    functional.multi_head_attention_forward.__code__,
    {**functional.__dict__, "has_torch_function": lambda _: False},
    argdefs=functional.multi_head_attention_forward.__defaults__,
)


class _Recorder(TorchFunctionMode):
    """Sees every torch call while active. Tensors are kept alive so that their ``id`` stays theirs."""

    def __init__(self, net: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.values = [Value("input", "", (), frozenset(), "", tuple(images.shape))]
        self.calls: list[RecordedCall] = []
        self.mixed: set[str] = set()
        self._alive: list[Any] = [images]
        self._index = {id(images): 0}
        self._names = {id(parameter): name for name, parameter in net.named_parameters()}
        self._derived = {key: frozenset((name,)) for key, name in self._names.items()}
        self._stack: list[str] = []
        self._writes: dict[int, list[int]] = {}  # tensor that owns memory -> values written into it in place

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.multi_head_attention_forward:  # seen from inside: queries, keys and values apart
            with self:
                return _ATTENTION(*args, **kwargs)
        name = getattr(func, "__name__", "")
        before = [*tensors_in(args), *tensors_in(kwargs)]
        before = [] if name in operators.BLANK else before[:1] if name in operators.SHAPED else before
        self._refresh(before)
        inputs = tuple(self._index[id(t)] for t in before if id(t) in self._index)
        parameters = frozenset[str]().union(*(self._derived.get(id(t), frozenset()) for t in before))
        call = Operation(func, self._places(args), self._places(kwargs)) if inputs else None
        if name in operators.ALIKE and args and isinstance(args[0], Tensor) and args[0].is_meta:
            in_place = kwargs.get("inplace") or any(one is True for one in args[1:2])
            layout = torch.contiguous_format if name.endswith("norm") else torch.preserve_format
            out = args[0] if in_place else torch.empty_like(args[0], memory_format=layout)
        else:
            out = func(*args, **kwargs)
        written = args[0] if name == "__setitem__" else out
        if inputs:
            second = args[1] if len(args) > 1 else kwargs.get("weight")
            self._add(written, name, inputs, parameters, self._names.get(id(second), ""), call)
            if name in operators.OUTWARDS:  # what Python makes of it is not seen
                self._add(torch.empty(()), name, inputs, parameters, "")
            if args and written is args[0] and operators.IN_PLACE.fullmatch(name):
                root = written if written._base is None else written._base
                self._alive.append(root)
                self._writes.setdefault(id(root), []).append(len(self.values) - 1)
        elif parameters:
            if name not in operators.ROW_BY_ROW:
                self.mixed |= parameters
            for tensor in tensors_in(written):
                self._alive.append(tensor)
                self._derived[id(tensor)] = parameters
        return out

    def _refresh(self, used: list[Tensor]) -> None:
        """Tensors whose memory was written through another view are new values, made of all that was written."""
        for tensor in used if self._writes else ():
            root, index = tensor if tensor._base is None else tensor._base, self._index.get(id(tensor), -1)
            late = tuple(write for write in self._writes.get(id(root), ()) if write > index)
            if late:
                self._add(tensor, "a write through a view", (index, *late) if index >= 0 else late, frozenset(), "")

    def _add(
        self, out: Any, op: str, inputs: tuple[int, ...], parameters: frozenset[str], weight: str, call: Any = None
    ) -> None:
        module = self._stack[-1] if self._stack else ""
        for place, tensor in enumerate(tensors_in(out)):
            self._alive.append(tensor)
            self._index[id(tensor)] = len(self.values)
            self.values.append(Value(op, module, inputs, parameters, weight, tuple(tensor.shape), call, place))

    def _places(self, value: Any) -> Any:
        """The arguments of a call without its tensors."""
        if isinstance(value, Tensor):
            index = self._index.get(id(value))
            return Other(self._names.get(id(value), ""), tuple(value.shape)) if index is None else Ref(index)
        if isinstance(value, (tuple, list)):
            return type(value)(map(self._places, value)) if type(value) in (tuple, list) else tuple(value)
        return {key: self._places(item) for key, item in value.items()} if isinstance(value, dict) else value

    def known(self, value: Any) -> tuple[int, ...]:
        used = list(tensors_in(value))
        if self._writes:
            with torch._C.DisableTorchFunction():
                self._refresh(used)
        return tuple(self._index[id(t)] for t in used if id(t) in self._index)

    def _first(self, value: Any) -> int:
        """The value that a tuple begins with, or that is given alone."""
        value = value[0] if type(value) is tuple and value else value
        return self._index.get(id(value), -1) if isinstance(value, Tensor) else -1

    def enter(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._stack.append(name)
            source = self._first(args or tuple(one for one in kwargs.values() if isinstance(one, Tensor)))
            module.__dict__.setdefault("_hubclean_taken", []).append((self.known((args, kwargs)), source))

        return hook

    def leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            self._stack.pop()
            taken, source = module.__dict__["_hubclean_taken"].pop()
            given = self.known(out)
            if taken and not given:  # scripted code and custom autograd functions pass by the recorder
                inside = frozenset(f"{name}.{inner}".lstrip(".") for inner, _ in module.named_parameters())
                self._add(out, "opaque", taken, inside, "")
                given = self.known(out)
            self.calls.append(RecordedCall(name, taken, given, source, self._first(out)))

        return hook


def record_forward(
    net: nn.Module,
    images: Tensor,
    pick: Callable[[Any], Tensor],
    run: Callable[[nn.Module, Tensor], Any] = nn.Module.__call__,
) -> Trace:
    """Run ``net`` once on normalised ``images`` ``(n, c, h, w)`` and record it; hooks are gone after, come what may.

    Args:
        pick: takes the logits ``(n, k)`` out of whatever the net returns.
        run: calls the net on images, for a net that takes them in another form.

    Raises:
        ValueError: the logits were not computed from the images as far as can be seen.
    """
    recorder = _Recorder(net, images)
    handles: list[Any] = []
    modes = {module: module.training for module in net.modules()}
    try:
        for name, module in net.named_modules():
            handles.append(module.register_forward_pre_hook(recorder.enter(name), with_kwargs=True))
            handles.append(module.register_forward_hook(recorder.leave(name), with_kwargs=True))
        net.eval()
        with torch.no_grad(), torch.device(images.device), recorder:
            logits = recorder.known(pick(run(net, images)))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
            module.__dict__.pop("_hubclean_taken", None)
    if not logits:
        raise ValueError("the logits do not follow from the images")
    return Trace(tuple(recorder.values), tuple(recorder.calls), logits[0], frozenset(recorder.mixed))
