"""Silences units, by hooks with masks that may carry gradients and by zeros in the file, and proves both alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.nets.construction.classifier import bare, prefix_of
from hubclean.nets.images import Images
from hubclean.nets.trace.units import Entries, Point, UnitGroup

Dead = Mapping[str, Tensor]  # group name -> unit numbers (m,) int64


@contextmanager
def masked(model: nn.Module, groups: Sequence[UnitGroup], masks: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block every unit is multiplied by its mask ``(count,)``, of any float values, at ``group.point``.

    Gradients reach the masks. Hooks are gone after, also after an exception.

    Raises:
        ModelError: a group has no point at which a hook could reach its units.
    """
    changes = [(_point(group), _Scale(mask)) for group, mask in zip(groups, masks, strict=True)]
    with _hooked(model, changes):
        yield


@contextmanager
def disturbed(model: nn.Module, groups: Sequence[UnitGroup], noises: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block ``noises`` ``(count,)`` are added to every unit at ``group.point``."""
    changes = [(_point(group), _Shift(noise)) for group, noise in zip(groups, noises, strict=True)]
    with _hooked(model, changes):
        yield


@dataclass(frozen=True)
class _Scale:
    values: Tensor

    def __call__(self, tensor: Tensor, line: Tensor) -> Tensor:
        values = torch.cat([self.values.to(tensor.device), torch.ones(1, device=tensor.device)])
        return tensor * values[line].to(tensor.dtype)  # -1 is the last: no unit, left as it is


@dataclass(frozen=True)
class _Shift:
    values: Tensor

    def __call__(self, tensor: Tensor, line: Tensor) -> Tensor:
        values = torch.cat([self.values.to(tensor.device), torch.zeros(1, device=tensor.device)])
        return tensor + values[line].to(tensor.dtype)


@contextmanager
def _hooked(model: nn.Module, changes: Sequence[tuple[Point, Any]]) -> Iterator[None]:
    net = bare(model)
    with ExitStack() as stack:
        for point, change in changes:
            module = net.get_submodule(point.module)
            if point.side == "out":
                handle = module.register_forward_hook(_after(point, change))
            else:
                handle = module.register_forward_pre_hook(_before(point, change), with_kwargs=True)
            stack.callback(handle.remove)
        yield


def _line(point: Point, tensor: Tensor) -> Tensor:
    sizes = [1] * tensor.ndim
    sizes[point.axis] = len(point.owner)
    return point.owner.to(tensor.device).view(sizes)


def _after(point: Point, change: Any) -> Any:
    def hook(module: nn.Module, args: Any, out: Any) -> Any:
        if isinstance(out, Tensor):
            return change(out, _line(point, out))
        if isinstance(out, tuple) and out and isinstance(out[0], Tensor):
            return (change(out[0], _line(point, out[0])), *out[1:])
        raise ModelError(f"{point.module!r} gives out no tensor in which units could be silenced")

    return hook


def _before(point: Point, change: Any) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (change(args[0], _line(point, args[0])), *args[1:]), kwargs
        name, value = next((name, value) for name, value in kwargs.items() if isinstance(value, Tensor))
        return args, {**kwargs, name: change(value, _line(point, value))}

    return hook


def _point(group: UnitGroup) -> Point:
    if group.point is None:
        raise ModelError(f"the units of {group.name!r} cannot be reached by a hook: {group.why}")
    return group.point


def entries_of(
    model: nn.Module, groups: Sequence[UnitGroup], dead: Dead, sides: Sequence[str] = ("producer", "consumers")
) -> dict[str, Tensor]:
    """For every stored tensor, by its name in ``model.named_parameters()``, the entries that units ``dead`` own."""
    prefix = prefix_of(model)
    parameters, masks = dict(model.named_parameters()), dict[str, Tensor]()
    for group in groups:
        owned: list[Entries] = [entries for side in sides for entries in getattr(group, side)]
        for entries in owned:
            parameter = parameters[prefix + entries.tensor]
            mask = entries.mask(dead[group.name].to(parameter.device), parameter.shape)
            before = masks.get(prefix + entries.tensor)
            masks[prefix + entries.tensor] = mask if before is None else mask | before
    return masks


@torch.no_grad()
def cut_units(model: nn.Module, groups: Sequence[UnitGroup], dead: Dead) -> None:
    """Silence units in place, on every side on which it can be done.

    Raises:
        ModelError: the units of a group cannot be cut in stored tensors.
    """
    for group in groups:
        if group.cut == "none" and len(dead[group.name]):
            raise ModelError(f"the units of {group.name!r} cannot be cut: {group.why}")
    parameters = dict(model.named_parameters())
    for name, mask in entries_of(model, groups, dead).items():
        parameters[name].masked_fill_(mask, 0)


@contextmanager
def _cut_for_now(model: nn.Module, groups: Sequence[UnitGroup], dead: Dead, sides: Sequence[str]) -> Iterator[None]:
    parameters, masks = dict(model.named_parameters()), entries_of(model, groups, dead, sides)
    kept = {name: parameters[name].detach().clone() for name in masks}
    try:
        with torch.no_grad():
            for name, mask in masks.items():
                parameters[name].masked_fill_(mask, 0)
        yield
    finally:
        with torch.no_grad():
            for name, tensor in kept.items():
                parameters[name].copy_(tensor)


@dataclass(frozen=True, slots=True)
class Proof:
    """How exactly zeros in stored tensors do what a hook does; logits are compared relative to their largest.

    Args:
        worst: largest difference between hook and file, over both sides.
        leak: largest change of the logits when a unit whose readers are cut is disturbed by 1.
        effect: change of the logits when the tried units are silenced: the proof is empty if this is 0.
        failed: layers that differ by more than the tolerance.
    """

    worst: float
    leak: float
    effect: float
    failed: tuple[str, ...]


@torch.no_grad()
def prove_units(
    model: nn.Module, groups: Sequence[UnitGroup], images: Images, tolerance: float = 1e-5, seed: int = 0
) -> Proof:
    """Compare hook and file on one random unit of every group that can be cut; weights are as before after.

    All groups are tried at once; if they differ, each half is tried on its own, down to the layers that fail.

    Raises:
        ModelError: the logits are not finite.
    """
    able = [group for group in groups if group.cut != "none"]
    draw = torch.Generator().manual_seed(seed)
    dead = {group.name: torch.randint(group.count, (1,), generator=draw) for group in able}
    if not able:
        return Proof(0.0, 0.0, 0.0, ())
    if not bool(model(images).isfinite().all()):
        raise ModelError("the logits of the images are not finite numbers: nothing can be proved on these weights")
    worst, leak, effect = _compare(model, able, dead, images)
    if max(worst, leak) <= tolerance:
        return Proof(worst, leak, effect, ())
    good, failed = _search(model, able, dead, images, tolerance)
    worst, leak, effect = _compare(model, good, dead, images) if good else (0.0, 0.0, 0.0)
    return Proof(worst, leak, effect, tuple(failed))


def _search(
    model: nn.Module, groups: Sequence[UnitGroup], dead: Dead, images: Images, tolerance: float
) -> tuple[list[UnitGroup], list[str]]:
    worst, leak, _ = _compare(model, groups, dead, images)
    if max(worst, leak) <= tolerance:
        return list(groups), []
    if len(groups) == 1:
        return [], [groups[0].name]
    half = len(groups) // 2
    parts = [_search(model, part, dead, images, tolerance) for part in (groups[:half], groups[half:])]
    return [group for good, _ in parts for group in good], [name for _, bad in parts for name in bad]


def _compare(model: nn.Module, groups: Sequence[UnitGroup], dead: Dead, images: Images) -> tuple[float, float, float]:
    base = model(images)
    off = [torch.ones(group.count).index_fill(0, dead[group.name], 0) for group in groups]
    with masked(model, groups, off):
        silent = model(images)
    scale = max(float(silent.abs().max()), 1e-12)

    def distance(one: Tensor, other: Tensor) -> float:
        found = float((one - other).abs().max()) / scale
        return found if found == found else float("inf")

    worst = leak = 0.0
    for side in ("producer", "consumers"):
        able = [group for group in groups if getattr(group, side)]
        rest = [(group, mask) for group, mask in zip(groups, off, strict=True) if not getattr(group, side)]
        hidden = masked(model, [group for group, _ in rest], [mask for _, mask in rest])
        with hidden, _cut_for_now(model, able, dead, [side]):
            worst = max(worst, distance(model(images), silent))
            if side == "consumers":
                noise = [1 - mask for group, mask in zip(groups, off, strict=True) if group.consumers]
                with disturbed(model, able, noise):
                    leak = distance(model(images), silent)
    return worst, leak, distance(base, silent)
