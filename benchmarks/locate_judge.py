"""Judges by plain hooks whether a layer gives out a timm net's final feature map, and whether heads give its logits.

The reference is what timm itself calls the final feature map: the tensor that ``net.forward_features`` returned inside
the forward. Nothing here uses what hubclean recorded or found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.nets.construction.classifier import logits_of
from hubclean.nets.trace.recorder import tensors_in
from hubclean.records import FeatureSite

CLASSES = 10


@dataclass(frozen=True)
class Ran:
    """One run of a module: when it ended, what entered and left it, rows of the last weight that ran until then."""

    end: int
    taken: Tensor | None
    given: Tensor | None
    rows: int


@dataclass
class Forward:
    """A forward as hooks see it; of a module that ran twice the later run."""

    net: nn.Module
    ran: dict[str, Ran] = field(default_factory=dict)
    logits: Tensor | None = None
    reference: Tensor | None = None
    end: int = 0  # when the reference was given out
    said: bool = False  # whether the reference is timm's word
    rows: int = 0
    clock: int = 0

    def note(self, name: str, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        weight = getattr(module, "weight", None)
        self.rows = len(weight) if isinstance(weight, nn.Parameter) and weight.ndim else self.rows
        self.clock += 1
        taken, given = next(tensors_in((args, kwargs)), None), next(tensors_in(out), None)
        self.ran[name] = Ran(self.clock, taken, given, self.rows)

    def refer(self, value: Any, end: int) -> None:
        """``value``, given out at ``end``, is the final feature map, unless it is a list or class tokens alone."""
        if isinstance(value, Tensor) and (value.ndim == 4 or (value.ndim == 3 and value.shape[1] > 1)):
            self.reference, self.end = value, end


def watch(net: nn.Module, images: Tensor) -> Forward:
    """Run ``net`` once under hooks, which are gone after; ``logits`` stays ``None`` if there are none ``(n, 10)``."""
    seen, own = Forward(net), cast(Any, net.forward_features)
    handles = [
        module.register_forward_hook(partial(seen.note, name), with_kwargs=True) for name, module in net.named_modules()
    ]

    def keep(*args: Any, **kwargs: Any) -> Any:
        value = own(*args, **kwargs)
        seen.refer(value, seen.clock)
        seen.said = seen.reference is not None
        return value

    net.__dict__["forward_features"] = keep  # shadows the method
    try:
        logits = logits_of(net(images))
        seen.logits = logits if logits.shape == (len(images), CLASSES) else None
    except ModelError:
        pass  # an encoder
    finally:
        del net.__dict__["forward_features"]
        for handle in handles:
            handle.remove()
    return seen


def verdict(seen: Forward, found: dict[str, Any]) -> str:
    """``hit``, ``loose`` or what is wrong with what a finder found."""
    if "why" in found:
        return str(found["why"])
    if "site" in found:
        return confirmation(seen, found["site"])
    if "heads" not in found:
        return map_verdict(seen, found["layer"])
    heads = head_verdict(seen, found["heads"], vector="map" not in found)
    return "forward_features gives no map" if heads == "hit" and "map" in found and not seen.said else heads


def confirmation(seen: Forward, site: FeatureSite) -> str:
    """Whether the hooks confirm hubclean's site; where timm names no map, its layer becomes the reference."""
    heads = head_verdict(seen, [head.path for head in site.heads], vector=False)
    if heads == "hit" and seen.said:
        return map_verdict(seen, site.feature, axis=1 if site.layout == "NCHW" else -1)
    if not seen.said and (ran := seen.ran.get(site.feature)):
        seen.refer(ran.given, ran.end)
    return "nothing to compare with" if heads == "hit" else heads


def map_verdict(seen: Forward, name: str, axis: int = 1) -> str:
    """``hit``, ``loose`` or why the layer's output is not the final feature map with its channels in ``axis``."""
    ran = seen.ran.get(name)
    if ran is None or ran.given is None or ran.given.ndim < 3 or seen.reference is None:
        return "gives out no map"
    out, shape = ran.given, seen.reference.shape
    if out.shape[axis] not in (getattr(seen.net, "num_features", 0), ran.rows):
        return "channels are in another axis"
    if out is seen.reference:
        return "hit"
    if ran.end > seen.end:
        positions = out.shape[2:] if axis == 1 else out.shape[1:-1]
        return "hit" if max(positions) > 1 else "a later value of one position"
    if out.shape != shape:
        return "an earlier value of another shape"
    between = [run.given for run in seen.ran.values() if ran.end < run.end <= seen.end and run.given is not None]
    return "loose" if any(value.shape == shape and value is not out for value in between) else "hit"


def head_verdict(seen: Forward, names: list[str], vector: bool = True) -> str:
    """``hit`` or why these layers are not the net's heads.

    Args:
        vector: one vector an image must enter them, and what a single one gives out must be what the net returns. If
            not so, they must be all the layers after the final feature map that have a row a class, or modules around
            those.
    """
    runs = [seen.ran[name] for name in names if name in seen.ran]
    if not runs or len(runs) != len(names):
        return "head does not run"
    if vector and any(run.taken is None or run.taken.flatten(1).shape != run.taken.shape[:2] for run in runs):
        return "head is not fed one vector an image"
    if vector and len(runs) == 1:
        return "hit" if _same(runs[0].given, seen.logits) else "head gives out something else than the logits"
    right = _classifying(seen)
    around = {name: {path for path in right if f"{path}.".startswith(f"{name}.")} for name in names}
    all_found = set[str]().union(*around.values()) == right
    return "hit" if all_found and all(around.values()) else "not the layers that give out the classes"


def _classifying(seen: Forward) -> set[str]:
    """All layers after the final feature map that have a row a class."""
    found = set()
    for name, run in seen.ran.items():
        weight = getattr(seen.net.get_submodule(name), "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim in (2, 4) and len(weight) == CLASSES:
            found |= {name} if run.end > seen.end or not seen.said else set()
    return found


def _same(given: Tensor | None, logits: Tensor | None) -> bool:
    """The same tensor, or a 1x1 convolution's with the last two axes dropped."""
    if given is None or logits is None:
        return False
    return given is logits or (given.ndim == 4 and given.flatten(1).shape == logits.shape)
