"""Values of what a forward on the meta device computes from neither images nor weights, such as a mask of ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hubclean.nets.trace.recorder import tensors_in

_MAKE = frozenset(["ones", "zeros", "full", "arange", "linspace", "eye", "tensor", "as_tensor", "scalar_tensor"])
_SHAPED = frozenset(["ones_like", "zeros_like", "full_like", "new_ones", "new_zeros", "new_full", "new_tensor"])
_READ = frozenset(["item", "tolist", "__bool__", "__int__", "__float__", "__index__"])
_LARGEST = 10**7  # values of one tensor that are worth computing


class Constants(TorchFunctionMode):
    """While active, such tensors on meta have a twin on the CPU, which answers when a value is read.

    Enter it before other modes: it must see calls as they are made in the end. Reading what has no twin raises what the
    meta device raises. Tensors are kept alive so that their ``id`` stays theirs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._twins: dict[int, Tensor] = {}
        self._alive: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        given = [*tensors_in(args), *tensors_in(kwargs)]
        # Some want the shape alone of their first operand.
        known = all(id(one) in self._twins or not one.is_meta for one in given[name in _SHAPED :])
        if name in _READ and given and given[0].is_meta and known:
            return func(self._twins[id(given[0])], *args[1:], **kwargs)
        out = func(*args, **kwargs)
        made = [args[0]] if name == "__setitem__" else list(tensors_in(out))
        if not known or name.startswith(
            ("empty", "new_empty")
        ):  # what is written over, or into, is no constant any more
            for tensor in made:
                self._twins.pop(id(tensor), None)
        elif (given or name in _MAKE) and made and all(one.is_meta and one.numel() <= _LARGEST for one in made):
            answer = func(*self._twin(args), **self._twin(kwargs))
            twins = [self._twin(args[0])] if name == "__setitem__" else list(tensors_in(answer))
            for tensor, twin in zip(made, twins, strict=True):
                self._alive.append(tensor)
                self._twins[id(tensor)] = twin
        return out

    def _twin(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) in self._twins or not value.is_meta:
                return self._twins.get(id(value), value)
            return torch.empty(value.shape, dtype=value.dtype)  # not known: it lends its shape
        if type(value) in (tuple, list):
            return type(value)(map(self._twin, value))
        if type(value) is dict:
            return {key: self._twin(item) for key, item in value.items()}
        return torch.device("cpu") if isinstance(value, (str, torch.device)) and str(value) == "meta" else value
